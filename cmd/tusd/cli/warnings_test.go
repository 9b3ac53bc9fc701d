package cli

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	const none = ""
	for _, c := range []struct{ args, env, want string }{
		{"", "", none},
		{"-cors-allow-origin .*", "", none},
		{"-cors-allow-origin example.org", "", "-cors-allow-origin example.org also matches longer origins"},
		{"-cors-allow-origin ^https://example.org", "", "-cors-allow-origin"},
		{"-cors-allow-origin ^a$|^b$", "", none},
		{"-cors-allow-origin ^a|b$", "", "-cors-allow-origin"},
		{"-cors-allow-origin ^(a|b)$", "", none},
		{"-cors-allow-origin (^a$|b)", "", "-cors-allow-origin"},
		{`-cors-allow-origin \^a\$`, "", "-cors-allow-origin"},
		{"-cors-allow-credentials", "", "-cors-allow-credentials"},
		{"-cors-allow-credentials -cors-origins https://a.example", "", none},
		{"-cors-allow-credentials -cors-allow-origin ^https://a$", "", none},
		{"-min-rate-time 3s", "", "-min-rate-time has no effect without -min-rate"},
		{"-min-rate-time 3s -min-rate 1", "", none},
		{"-pprof-mutex-profile-rate 3", "", "-pprof-mutex-profile-rate has no effect without -expose-pprof"},
		{"-metrics-path /m -expose-metrics=false", "", "-metrics-path has no effect without -expose-metrics"},
		{"-s3-bucket b -s3-max-buffered-parts 5", "", "-s3-max-buffered-parts has no effect"},
		{"-s3-bucket b -s3-disable-ssl -s3-endpoint https://e", "", "-s3-disable-ssl has no effect: -s3-endpoint begins with https://"},
		{"-s3-bucket b -s3-disable-ssl -s3-endpoint e", "", none},
		{"-s3-bucket b -s3-redirect-lifetime 2h", "", "-s3-redirect-lifetime has no effect without -s3-redirect-downloads"},
		{"-s3-bucket b -locker redis -redis-url redis://:secret@h", "", "-redis-url has a password, and every user of this machine can read the command line: set TUSD_REDIS_URL, or use -redis-password-file"},
		{"-s3-bucket b -locker etcd -etcd-url http://u:secret@h", "", "-etcd-url has a password, and every user of this machine can read the command line: set TUSD_ETCD_URL, or use -etcd-password-file"},
		{"-s3-bucket b -locker redis -redis-url redis://h", "", none},
		{"-hooks-enabled-events post-finish -progress-hooks-interval 2s", "", none},
		{"-hooks-http-retry 5", "", "-hooks-http-retry has no effect without -hooks-http"},
		{"-hooks-http-retry 5 -hooks-http http://h", "", none},
		{"-hooks-grpc-secure", "", "-hooks-grpc-secure has no effect without -hooks-grpc"},
		{"-hooks-order http", "", "-hooks-order has no effect without a hook"},
		{"-hooks-give-up-after 1h -hooks-dir d -hooks-delivery best-effort", "", "-hooks-give-up-after has no effect without a hook and -hooks-delivery at-least-once"},
		{"-hooks-give-up-after 1h -hooks-dir d", "", none},
		{"-hooks-http http://u:secret@h", "", "-hooks-http has a password, and every user of this machine can read the command line: set TUSD_HOOKS_HTTP"},
		{"-hooks-http http://u:secret@h -hooks-http-retry 5", "", "-hooks-http has a password"},
		{"-checksum-spool /s", "", "-checksum-spool has no effect"},
		{"-expose-pprof", "", "-expose-pprof"},
		{"-expose-pprof", "a:b", none},
		{"-expose-pprof -admin-listen :9090", "", none},
	} {
		env := environment{"TUSD_PPROF_AUTH": c.env}
		cfg, err := readConfig(strings.Fields(c.args), env)
		got := strings.Join(cfg.warnings(env), "\n")
		if err != nil || !strings.Contains(got, c.want) || (got == "") != (c.want == none) {
			t.Errorf("%s: %q, %v; want %q", c.args, got, err, c.want)
		}
		if strings.Contains(got, ":secret@") {
			t.Errorf("%s: the warning shows the password", c.args)
		}
	}
}

// A password in the environment is where it belongs.
func TestNoWarningOfAPasswordInTheEnvironment(t *testing.T) {
	env := environment{"TUSD_REDIS_URL": "redis://:secret@h"}
	cfg, err := readConfig([]string{"-s3-bucket", "b", "-locker", "redis"}, env)
	if warnings := cfg.warnings(env); err != nil || len(warnings) > 0 {
		t.Errorf("%q, %v", warnings, err)
	}
}
