package tusd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/tus/tusd/internal/loglimit"
)

// Config says how a Handler works. The zero value of every field but
// StoreComposer has a useful meaning.
type Config struct {
	// StoreComposer is required, with at least Core.
	StoreComposer *StoreComposer
	// BasePath is where the handler is reached from outside: a path, or an
	// absolute URL if Location is to name another host. "" means "/".
	// A slash at either end is added if missing.
	BasePath string
	// PublicURL is the URL of the creation of uploads as clients know it, an
	// absolute one, if it is not what BasePath, the request and the proxies that are
	// believed make of it. It goes into Location.
	PublicURL string
	// MaxSize is the largest upload in bytes; 0: no limit but the store's. It
	// holds for every way to make or grow an upload and is sent as
	// Tus-Max-Size.
	MaxSize int64
	// MaxHeaderSize is the largest header of a request in bytes; 0: 256 KiB.
	// The http.Server has a limit of its own, which should be larger.
	MaxHeaderSize int
	// MaxMetaData bounds, in bytes, what answers repeat of a creation: HEAD
	// Upload-Metadata and Upload-Concat, together, and a download the name and
	// the type of its content, together; 0: 14 KiB. An answer has up to 2 KiB
	// beside that, and clients read only so much of a header, Node.js 16 KiB.
	MaxMetaData int
	// MaxPartials is how many references to partial uploads a final upload
	// may have; 0: 150. The same partial counts each time it is named. Their
	// URLs also count for MaxMetaData.
	MaxPartials int

	// The extensions that can be switched off even where the store has them.
	DisableCreation      bool // uploads are made by other means; also ends creation-with-upload
	DisableTermination   bool
	DisableConcatenation bool
	DisableDeferLength   bool
	DisableDownload      bool
	DisableChecksum      bool
	// DisableIETF ends the dialect of the IETF draft.
	DisableIETF bool

	// MaxAppendSize and MinAppendSize are limits for the content of one
	// request in bytes, for clients that can be told, which are those of the
	// IETF draft; 0: none.
	MaxAppendSize, MinAppendSize int64

	// Digest is the algorithm of a digest that is kept for every upload, by
	// its name in tus (sha256, sha512, sha1, md5, crc32c); "": none.
	Digest string

	// ChecksumSpool is a directory for chunks with checksums that are to be
	// verified before the store gets them, for stores that cannot take a
	// chunk back; "": such stores take no checksums. ChecksumSpoolSize is the
	// largest such chunk in bytes; 0: 1 GiB.
	ChecksumSpool     string
	ChecksumSpoolSize int64

	// TrustForwarded believes whoever connects about the host and the scheme
	// of the original request (Forwarded, X-Forwarded-Host,
	// X-Forwarded-Proto), which Location and the URLs of a final are made of.
	// Without it those on the loopback, in link-local and in private networks
	// and behind Unix sockets are believed, or those in TrustedProxies.
	TrustForwarded bool
	// TrustedProxies are the networks of the operator's proxies; nil: see
	// TrustForwarded. Only they, if named, are believed about the client's
	// address (Forwarded, X-Forwarded-For), too, which goes into the log,
	// events and the limits per client. A proxy behind a Unix socket counts
	// as named if any network is.
	TrustedProxies []netip.Prefix

	// MaxRequests is how many requests may be served at the same time; 0: no
	// limit. One more is answered as trouble that passes.
	MaxRequests int
	// MaxUploadsPerClient is how many requests with content from one client
	// address may be served at the same time; 0: no limit.
	MaxUploadsPerClient int
	// MinRate is the number of bytes per second that the content of a request
	// must bring on average over MinRateTime; 0: any progress is enough. A
	// body below it is ended as by NetworkTimeout, its bytes kept.
	MinRate     int64
	MinRateTime time.Duration // 0: 30 s

	// CORS is for browsers on other origins; nil: every origin, without
	// credentials.
	CORS *CORSConfig

	// NetworkTimeout is how long a request's body, or the client's reading of
	// an answer, may make no progress at all; 0: 60 s.
	NetworkTimeout time.Duration
	// AcquireLockTimeout is how long a request waits for an upload that
	// another one uses; 0: 20 s.
	AcquireLockTimeout time.Duration
	// GracePeriod is how long the server goes on saving what has arrived
	// after a client has gone; 0: 10 s.
	GracePeriod time.Duration
	// ProgressInterval is the time between two post-receive events of one
	// request; 0: 1 s.
	ProgressInterval time.Duration

	// Callbacks are asked before something happens.
	Callbacks Callbacks
	// Logger gets one line per request and what an operator must know;
	// nil: slog.Default(). Texts that are too long for a line are cut.
	Logger *slog.Logger
}

// Defaults of Config.
const (
	defaultMaxHeaderSize      = 256 << 10
	defaultMaxMetaData        = 14 << 10
	defaultMaxPartials        = 150
	defaultNetworkTimeout     = 60 * time.Second
	defaultAcquireLockTimeout = 20 * time.Second
	defaultGracePeriod        = 10 * time.Second
	defaultProgressInterval   = time.Second
	defaultMinRateTime        = 30 * time.Second
	defaultChecksumSpoolSize  = 1 << 30
)

// limitSize lowers the largest upload to what the store can keep.
func (c *Config) limitSize(bytes int64) {
	if c.MaxSize == 0 || bytes < c.MaxSize {
		c.MaxSize = bytes
	}
}

// withDefaults returns c with zero values replaced, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.StoreComposer == nil || c.StoreComposer.Core == nil {
		return c, errors.New("tusd: Config.StoreComposer needs a Core")
	}
	if c.MaxSize < 0 || c.MaxHeaderSize < 0 || c.MaxMetaData < 0 || c.MaxPartials < 0 || c.MaxAppendSize < 0 || c.MinAppendSize < 0 || c.ChecksumSpoolSize < 0 ||
		c.MaxRequests < 0 || c.MaxUploadsPerClient < 0 || c.MinRate < 0 {
		return c, errors.New("tusd: Config: a limit is negative")
	}
	if c.MaxAppendSize > 0 && c.MinAppendSize > c.MaxAppendSize {
		return c, errors.New("tusd: Config: MinAppendSize is larger than MaxAppendSize")
	}
	if a := tusAlgorithm(c.Digest); c.Digest != "" && (a == nil || a.field == "") {
		return c, fmt.Errorf("tusd: Config: digest algorithm %q is not known", c.Digest)
	}
	for _, d := range []*time.Duration{&c.NetworkTimeout, &c.AcquireLockTimeout, &c.GracePeriod, &c.ProgressInterval, &c.MinRateTime} {
		if *d < 0 {
			return c, errors.New("tusd: Config: a duration is negative")
		}
	}
	setDefault(&c.MaxHeaderSize, defaultMaxHeaderSize)
	setDefault(&c.MaxMetaData, defaultMaxMetaData)
	setDefault(&c.MaxPartials, defaultMaxPartials)
	setDefault(&c.ChecksumSpoolSize, defaultChecksumSpoolSize)
	setDefault(&c.NetworkTimeout, defaultNetworkTimeout)
	setDefault(&c.AcquireLockTimeout, defaultAcquireLockTimeout)
	setDefault(&c.GracePeriod, defaultGracePeriod)
	setDefault(&c.ProgressInterval, defaultProgressInterval)
	setDefault(&c.MinRateTime, defaultMinRateTime)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = slog.New(loglimit.NewHandler(c.Logger.Handler()))
	if c.CORS == nil {
		c.CORS = &CORSConfig{}
	}
	composer := *c.StoreComposer // the caller's stays as it is
	if composer.Locker == nil {
		composer.Locker = &LocalLocker{}
	}
	if composer.SideRecords == nil {
		composer.SideRecords = newMemorySideRecords()
	}
	c.StoreComposer = &composer
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// parsePublicURL is parseBasePath for Config.PublicURL.
func parsePublicURL(public string) (origin, path string, err error) {
	if public == "" {
		return "", "", nil
	}
	if origin, path, err = parseBasePath("PublicURL", public); err == nil && origin == "" {
		err = errors.New("tusd: Config.PublicURL is no absolute http or https URL")
	}
	return origin, path, err
}

// parseBasePath splits a configured base into the part before the path
// ("https://host", or "" if the request's host is to be used) and the path as
// it appears on the wire, with a slash at both ends.
func parseBasePath(field, base string) (origin, path string, err error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", "", fmt.Errorf("tusd: Config.%s: %w", field, err)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", "", fmt.Errorf("tusd: Config.%s can have neither query nor fragment", field)
	}
	path = "/" + strings.Trim(u.EscapedPath(), "/") + "/"
	if path == "//" {
		path = "/"
	}
	if u.Scheme == "" && u.Host == "" {
		return "", path, nil
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", "", fmt.Errorf("tusd: Config.%s is neither a path nor an absolute http or https URL", field)
	}
	return u.Scheme + "://" + u.Host, path, nil
}

func (c *Config) openStore(ctx context.Context) error {
	return c.StoreComposer.Core.Open(ctx, Env{c.StoreComposer.Locker, c.limitSize})
}

// What the server offers depends on the store and on the settings.

func (c *Config) offersDownload() bool { return !c.DisableDownload }

func (c *Config) offersTermination() bool {
	return c.StoreComposer.Terminater != nil && !c.DisableTermination
}

func (c *Config) offersConcatenation() bool {
	return c.StoreComposer.Concater != nil && !c.DisableConcatenation
}

func (c *Config) offersDeferredLength() bool {
	return c.StoreComposer.LengthDeferrer != nil && !c.DisableDeferLength
}

func (c *Config) offersChecksums() bool {
	return !c.DisableChecksum && (c.StoreComposer.AtomicWriter != nil || c.ChecksumSpool != "")
}

// readsIncomplete reports whether the store can take back what it has stored of a
// chunk, and read it before that.
func (c *Config) readsIncomplete() bool {
	r := c.StoreComposer.Rewinder
	return r != nil && r.ReadsIncomplete()
}
