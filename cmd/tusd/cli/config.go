package cli

import (
	"net/netip"
	"regexp"
	"time"
)

// config has the settings of the command line, the environment and the config
// file, by the sections of the help text.
type config struct {
	configFile  string // "": none
	pidFile     string // "": none
	showVersion bool

	listening    listenSettings
	tls          tlsSettings
	protocol     protocolSettings
	cors         corsSettings
	storages     []storageSettings // of storageKinds
	locker       string            // one of lockerKinds; "": the one of the storage
	lockers      []lockerSettings  // of lockerKinds
	hooks        hookSettings
	monitoring   monitoringSettings
	limits       limitSettings
	housekeeping housekeepingSettings
	timeouts     timeoutSettings
	output       outputSettings

	isCommand   bool // the settings are for a command that works on the store, and not for the server
	onlyProcess bool // -only-process, of such a command: no other process uses the store

	sources settingSources
}

type listenSettings struct {
	host        string
	port        uint16 // 0: any free one
	unixSock    string // path; "": TCP
	unixAccess  socketAccess
	basePath    string // on the wire: escaped, a slash at both ends
	publicURL   string // "": from the request
	enableH2C   bool
	behindProxy bool
	// trustedProxies is nil if the default holds, and empty for "none".
	trustedProxies []netip.Prefix
}

type tlsSettings struct {
	certificate, key string // files; "": no TLS
	mode             string // one of tlsModes
}

func (s tlsSettings) enabled() bool { return s.certificate != "" }

type protocolSettings struct {
	maxSize              int64 // bytes; 0: no limit, as for the next two
	maxAppendSize        int64
	minAppendSize        int64
	disableIETF          bool
	enableIETF           bool // as in tusd v2; it is on anyway
	disableDownload      bool
	disableTermination   bool
	disableConcatenation bool
	digest               string // "": none
	checksumSpool        string // directory; "": none
}

type corsSettings struct {
	disable          bool
	allowOrigin      *regexp.Regexp
	origins          []string // nil: allowOrigin decides
	allowCredentials bool
	allowMethods     string
	allowHeaders     string
	exposeHeaders    string
	maxAge           string // seconds
}

type monitoringSettings struct {
	exposeMetrics    bool
	metricsPath      string
	exposePprof      bool
	pprofPath        string
	pprofAuth        string // user:password; "": none
	blockProfileRate int
	mutexProfileRate int
	adminListen      string // host:port; "": where the uploads are
	showGreeting     bool
	readyzStrict     bool // /readyz is also 503 if a part fails that all servers share
}

type limitSettings struct {
	maxHeaderSize           int // bytes, as the next one
	maxMetadataSize         int
	maxPartials             int
	maxRequests             int // 0: no limit, as for the next two
	maxUploadsPerClient     int
	maxConnectionsPerClient int
	minRate                 int64 // bytes per second; 0: none
	minRateTime             time.Duration
}

type timeoutSettings struct {
	network           time.Duration
	idle              time.Duration // 0: network
	acquireLock       time.Duration
	requestCompletion time.Duration
	shutdown          time.Duration
}

// idleTimeout returns how long a connection may wait for its next request.
func (t timeoutSettings) idleTimeout() time.Duration {
	if t.idle == 0 {
		return t.network
	}
	return t.idle
}

// jsonFormat is the -log-format in which every line is JSON.
const jsonFormat = "json"

type outputSettings struct {
	verbose         bool
	logFormat       string // text or json
	showStartupLogs bool
}
