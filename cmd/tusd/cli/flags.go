package cli

import (
	"flag"
	"slices"
	"time"
)

// section is a part of the help text.
type section struct {
	title string
	flags *flag.FlagSet
}

// sections declares all flags, which store their values in cfg. Parsing and
// help use this list.
func sections(cfg *config) []section {
	return slices.Concat(
		[]section{
			newSection("General", cfg.declare),
			newSection("Listening", cfg.listening.declare),
			newSection("TLS", cfg.tls.declare),
			newSection("Upload protocol", cfg.protocol.declare),
			newSection("CORS", cfg.cors.declare),
		},
		cfg.declareStorages(),
		[]section{
			newSection(locksSection, cfg.declareLockers),
			newSection("Hooks", cfg.hooks.declare),
			newSection("Monitoring", cfg.monitoring.declare),
			newSection("Limits", cfg.limits.declare),
			newSection(housekeepingSection, cfg.housekeeping.declare),
			newSection("Timeouts", cfg.timeouts.declare),
			newSection("Output", cfg.output.declare),
		},
	)
}

// Titles of sections that the help of commands shows, too: the flags of lockers, and those
// of sweeps.
const (
	locksSection        = "Locks"
	housekeepingSection = "Housekeeping"
)

func newSection(title string, declare func(*flag.FlagSet)) section {
	flags := flag.NewFlagSet(title, flag.ContinueOnError)
	declare(flags)
	return section{title, flags}
}

func (cfg *config) declare(f *flag.FlagSet) {
	f.StringVar(&cfg.configFile, "config", "", "`file` with a setting per line, like max-size 10G or\nmax-size = 10G")
	f.StringVar(&cfg.pidFile, "pid-file", "", "`file` that holds the ID of the process while tusd runs;\ntusd does not start if it names another running process")
	f.BoolVar(&cfg.showVersion, versionFlag, false, "print what this program was built from, and exit")
}

func (l *listenSettings) declare(f *flag.FlagSet) {
	hostVar(f, &l.host, "host", "0.0.0.0", "`address` to listen on")
	portVar(f, &l.port, "port", 8080, "TCP `port` to listen on; 0: any free one")
	f.StringVar(&l.unixSock, "unix-sock", "", "`path` of a Unix socket to listen on instead of -port")
	socketModeVar(f, &l.unixAccess.mode, "unix-sock-mode", "`permissions` of the socket, octal, whatever the umask is:\nwho may write to it may connect; 660 if there is a\n-unix-sock-group")
	groupVar(f, &l.unixAccess.group, "unix-sock-group", "`group` of the socket, a name or a number; this user must\nbe a member of it, or root")
	basePathVar(f, &l.basePath, "base-path", "/files/", "URL `path` below which uploads live")
	publicURLVar(f, &l.publicURL, "public-url", "`URL` at which clients create uploads, like\nhttps://up.example.org/files/; needed if your proxies do\nnot send it")
	f.BoolVar(&l.enableH2C, "enable-h2c", false, "also speak HTTP/2 without TLS (prior knowledge)")
	f.BoolVar(&l.behindProxy, "behind-proxy", false, "believe everyone who connects about the host and the\nscheme of the original request (Forwarded,\nX-Forwarded-Host, -Proto, -Port, -Prefix)")
	networksVar(f, &l.trustedProxies, "trusted-proxies", "`networks` of your proxies, separated by commas: they are\nbelieved about host and scheme, and about the address of\nthe client; or none. Without it, private and local\naddresses are believed about host and scheme")
}

func (s *tlsSettings) declare(f *flag.FlagSet) {
	f.StringVar(&s.certificate, "tls-certificate", "", "PEM `file` with the certificate and its chain; read again\nwhen it changes")
	f.StringVar(&s.key, "tls-key", "", "PEM `file` with the private key, not encrypted")
	choiceVar(f, &s.mode, "tls-mode", tlsModes(), "the `mode` is tls12 (TLS 1.2 and 1.3), tls12-strong\n(only 1.2 with AES-256-GCM) or tls13 (only 1.3)")
}

func (p *protocolSettings) declare(f *flag.FlagSet) {
	sizeVar(f, &p.maxSize, "max-size", "largest upload in `bytes`; 0: no limit")
	sizeVar(f, &p.maxAppendSize, "max-append-size", "largest content of one request in `bytes`: announced to\nand enforced for clients of the IETF draft; 0: no limit")
	sizeVar(f, &p.minAppendSize, "min-append-size", "smallest content of a request that does not complete its\nupload, in `bytes`: announced to and enforced for clients\nof the IETF draft; 0: no limit")
	f.BoolVar(&p.disableIETF, "disable-ietf", false, "do not speak the IETF draft \"Resumable Uploads for HTTP\"")
	f.BoolVar(&p.enableIETF, "enable-experimental-protocol", false, "of tusd v2, for the IETF draft: no longer needed")
	f.BoolVar(&p.disableDownload, "disable-download", false, "uploads cannot be downloaded (GET)")
	f.BoolVar(&p.disableTermination, "disable-termination", false, "clients cannot remove uploads (DELETE)")
	f.BoolVar(&p.disableConcatenation, "disable-concatenation", false, "uploads cannot be concatenated (Upload-Concat)")
	choiceVar(f, &p.digest, "digest", []string{"", "sha256", "sha512", "sha1", "md5", "crc32c"}, "keep a digest of every upload: the `algorithm` is sha256,\nsha512, sha1, md5 or crc32c")
	f.StringVar(&p.checksumSpool, "checksum-spool", "", "temporary `directory` for verifying checksummed chunks;\nnot needed for storage in files or in S3")
}

func (c *corsSettings) declare(f *flag.FlagSet) {
	f.BoolVar(&c.disable, "disable-cors", false, "send no CORS headers and ignore Origin")
	patternVar(f, &c.allowOrigin, "cors-allow-origin", anyOrigin, "`regexp` that must match somewhere in the origin of a\nscript; put it between ^ and $ to have it match all of it")
	originsVar(f, &c.origins, "cors-origins", "`origins` whose scripts may upload, exact and separated\nby commas: https://example.org,https://example.com")
	f.BoolVar(&c.allowCredentials, "cors-allow-credentials", false, "scripts may upload with cookies and other credentials")
	f.StringVar(&c.allowMethods, "cors-allow-methods", "", "further `methods` that scripts may use")
	f.StringVar(&c.allowHeaders, "cors-allow-headers", "", "further `headers` that scripts may send")
	f.StringVar(&c.exposeHeaders, "cors-expose-headers", "", "further `headers` that scripts may read")
	secondsVar(f, &c.maxAge, "cors-max-age", "86400", "how long browsers may remember these rules (`seconds`)")
}

func (m *monitoringSettings) declare(f *flag.FlagSet) {
	f.BoolVar(&m.exposeMetrics, "expose-metrics", true, "serve metrics for Prometheus")
	pathVar(f, &m.metricsPath, "metrics-path", "/metrics", "URL `path` of the metrics")
	f.BoolVar(&m.exposePprof, "expose-pprof", false, "serve profiles of the running process; TUSD_PPROF_AUTH\nin the environment may ask for a user:password")
	pathVar(f, &m.pprofPath, "pprof-path", "/debug/pprof/", "URL `path` of the profiles")
	nanosecondsVar(f, &m.blockProfileRate, "pprof-block-profile-rate", "record blocking of this many `nanoseconds` or more; 0: none")
	countVar(f, &m.mutexProfileRate, "pprof-mutex-profile-rate", 0, 0, "record one in this many waits for a mutex (a `number`);\n0: none")
	addressVar(f, &m.adminListen, "admin-listen", "`host:port` where metrics, health and profiles are served\ninstead of beside the uploads")
	f.BoolVar(&m.readyzStrict, "readyz-strict", false, "/readyz is 503 also while the bucket or the lock service,\nwhich all servers share, is unreachable")
	f.BoolVar(&m.showGreeting, "show-greeting", true, "greet browsers that open the server's address")
}

func (l *limitSettings) declare(f *flag.FlagSet) {
	memoryVar(f, &l.maxHeaderSize, "max-header-size", 256<<10, 1024, "largest header of a request in `bytes`")
	memoryVar(f, &l.maxMetadataSize, "max-metadata-size", 14<<10, 1, "most `bytes` of metadata in one answer: Upload-Metadata\nand Upload-Concat together, or name and type of a file")
	countVar(f, &l.maxPartials, "max-partials", 150, 1, "how many partial uploads a final upload may name (a\n`number`); their URLs count for -max-metadata-size")
	countVar(f, &l.maxRequests, "max-requests", 10000, 0, "how many requests are served at the same time (a\n`number`); 0: no limit")
	countVar(f, &l.maxUploadsPerClient, "max-uploads-per-client", 1000, 0, "how many requests with content are served at the same\ntime for one client address other than proxies and\nprivate addresses (a `number`); 0: no limit")
	countVar(f, &l.maxConnectionsPerClient, "max-connections-per-client", 1000, 0, "how many connections one client address may have open,\nother than proxies and private addresses (a `number`);\n0: no limit")
	sizeVar(f, &l.minRate, "min-rate", "end a request whose content brings fewer `bytes` per\nsecond on average; what came is kept; 0: any progress\nis enough")
	durationVar(f, &l.minRateTime, "min-rate-time", 30*time.Second, "the `duration` over which -min-rate is measured")
}

func (t *timeoutSettings) declare(f *flag.FlagSet) {
	durationVar(f, &t.network, "network-timeout", 60*time.Second, "how long a connection may make no progress (`duration`)")
	durationOrZeroVar(f, &t.idle, "idle-timeout", 0, "how long a connection may wait for its next request\n(`duration`); 0: as -network-timeout")
	durationVar(f, &t.acquireLock, "acquire-lock-timeout", 20*time.Second, "how long a request waits for an upload that another\none uses (`duration`)")
	durationVar(f, &t.requestCompletion, "request-completion-timeout", 10*time.Second, "how long the server goes on saving what has arrived when\nits client has gone (`duration`)")
	durationOrZeroVar(f, &t.shutdown, "shutdown-timeout", 10*time.Second, "how long running requests may take to end after\nSIGINT or SIGTERM (`duration`); 0: no time at all")
}

func (o *outputSettings) declare(f *flag.FlagSet) {
	f.BoolVar(&o.verbose, "verbose", true, "also log lines of level DEBUG")
	choiceVar(f, &o.logFormat, "log-format", []string{"text", jsonFormat}, "the `format` of the log is text or json")
	f.BoolVar(&o.showStartupLogs, "show-startup-logs", true, "print at start where uploads are stored and received")
}
