package cli

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// anyOrigin is the default of -cors-allow-origin.
const anyOrigin = ".*"

// warnings returns sentences about settings that are allowed, but that the
// operator may not mean. They are logged at start.
func (cfg config) warnings(env environment) []string {
	var warnings []string
	warn := func(when bool, sentence string) {
		if when {
			warnings = append(warnings, sentence)
		}
	}
	pattern := cfg.cors.allowOrigin.String()
	warn(pattern != anyOrigin && !anchored(pattern),
		"-cors-allow-origin "+pattern+" also matches longer origins that contain a match; put it between ^ and $, or list the origins with -cors-origins")
	warn(cfg.cors.allowCredentials && pattern == anyOrigin && cfg.cors.origins == nil,
		"-cors-allow-credentials without -cors-origins lets scripts of every site upload with the cookies of its visitors")
	warn(cfg.monitoring.exposePprof && cfg.monitoring.pprofAuth == "" && cfg.monitoring.adminListen == "",
		"-expose-pprof shows call stacks and memory use of this process to everyone who can upload; set TUSD_PPROF_AUTH to user:password, or -admin-listen")
	warn(cfg.protocol.checksumSpool != "", "-checksum-spool has no effect: files and S3 roll a chunk back without it")
	warn(cfg.isSet("s3-max-buffered-parts"), "-s3-max-buffered-parts has no effect: -s3-buffer-memory limits what is buffered")
	warn(cfg.s3().connection.disableSSL && strings.HasPrefix(cfg.s3().connection.endpoint, "https://"),
		"-s3-disable-ssl has no effect: -s3-endpoint begins with https://")
	redis, etcd := settingsOf[*redisLockerSettings](cfg.lockers), settingsOf[*etcdLockerSettings](cfg.lockers)
	for _, sentence := range []string{
		cfg.commandLinePassword("redis-url", "redis-password-file", redis.servers.password),
		cfg.commandLinePassword("etcd-url", "etcd-password-file", etcd.servers.password),
	} {
		warn(sentence != "", sentence)
	}
	warn(cfg.hooks.http.password() != "" && cfg.sources["hooks-http"] == "-hooks-http",
		"-hooks-http has a password, and every user of this machine can read the command line: set "+variableOf("hooks-http"))
	for _, name := range env.unknown() {
		warn(true, "the environment variable "+name+" sets nothing: "+insteadOf(name))
	}
	return append(warnings, cfg.withoutEffect()...)
}

// partner is what a setting needs to have an effect, and whether it is there.
type partner struct {
	setting, partner string
	there            bool
}

// withoutEffect returns sentences about settings that have an effect only
// together with others. If uploads would be unprotected without the others,
// they are refused instead (validation.go).
func (cfg config) withoutEffect() (sentences []string) {
	m := cfg.monitoring
	for _, c := range slices.Concat(cfg.hooks.partners(), []partner{
		{"min-rate-time", "-min-rate", cfg.limits.minRate > 0},
		{"s3-redirect-lifetime", "-s3-redirect-downloads", cfg.s3().redirect},
		{"metrics-path", "-expose-metrics", m.exposeMetrics},
		{"pprof-path", "-expose-pprof", m.exposePprof},
		{"pprof-block-profile-rate", "-expose-pprof", m.exposePprof},
		{"pprof-mutex-profile-rate", "-expose-pprof", m.exposePprof},
	}) {
		if cfg.isSet(c.setting) && !c.there {
			sentences = append(sentences, cfg.sources.name(c.setting)+" has no effect without "+c.partner)
		}
	}
	return sentences
}

// insteadOf returns what to use instead of an unknown variable.
func insteadOf(variable string) string {
	for name, advice := range removedFlags() {
		if variableOf(name) == variable {
			return advice
		}
	}
	return "there is no such flag" + didYouMean(variable, settingNames(versionFlag), variableOf)
}

// anchored reports whether a pattern matches only whole texts.
func anchored(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	first := func(parts []*syntax.Regexp) *syntax.Regexp { return parts[0] }
	last := func(parts []*syntax.Regexp) *syntax.Regexp { return parts[len(parts)-1] }
	return anchoredAt(re, syntax.OpBeginText, first) && anchoredAt(re, syntax.OpEndText, last)
}

// anchoredAt reports whether every alternative of re has op at the end that
// pick picks.
func anchoredAt(re *syntax.Regexp, op syntax.Op, pick func([]*syntax.Regexp) *syntax.Regexp) bool {
	switch re.Op {
	case op:
		return true
	case syntax.OpCapture, syntax.OpConcat:
		return anchoredAt(pick(re.Sub), op, pick)
	case syntax.OpAlternate:
		for _, branch := range re.Sub {
			if !anchoredAt(branch, op, pick) {
				return false
			}
		}
		return true
	}
	return false
}
