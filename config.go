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

// Config configures a Handler. Every field but StoreComposer has a useful zero
// value.
type Config struct {
	// StoreComposer is required, with at least Core.
	StoreComposer *StoreComposer
	// BasePath is the URL of the handler as clients reach it: a path, or an
	// absolute URL if Location has to name another host. "" means "/".
	// A missing slash at either end is added.
	BasePath string
	// PublicURL is the absolute URL to which clients send a POST. It is the
	// base of Location. Set it if BasePath, the request and the headers of
	// trusted proxies do not give the right one.
	PublicURL string
	// MaxSize is the largest upload in bytes; 0: no limit but the store's. It
	// applies to every request that creates or extends an upload, and is sent
	// as Tus-Max-Size.
	MaxSize int64
	// MaxHeaderSize is the largest header of a request in bytes; 0: 256 KiB.
	// The http.Server has a limit of its own, which should be larger.
	MaxHeaderSize int
	// MaxMetaData limits, in bytes, the metadata that answers repeat: the sum of
	// Upload-Metadata and Upload-Concat in HEAD, and the sum of the file name,
	// the content type and the content coding in a download; 0: 14 KiB. The other fields of an
	// answer have up to 2 KiB. Clients limit the header that they read, Node.js
	// to 16 KiB.
	MaxMetaData int
	// MaxPartials is how many references to partial uploads a final upload
	// may have; 0: 150. A partial counts each time it is named. The URLs also
	// count for MaxMetaData.
	MaxPartials int

	// These switch off extensions that the store has.
	DisableCreation      bool // uploads are created by other means; switches off creation-with-upload, too
	DisableTermination   bool
	DisableConcatenation bool
	DisableDeferLength   bool
	DisableDownload      bool
	DisableChecksum      bool
	// DisableIETF switches off the dialect of the IETF draft.
	DisableIETF bool

	// MaxAppendSize and MinAppendSize limit the content of one request, in
	// bytes; 0: no limit. They apply to the IETF draft only, because tus 1.0
	// has no way to announce them.
	MaxAppendSize, MinAppendSize int64

	// Digest is the algorithm of the digest that the server computes for every
	// upload, by its name in tus (sha256, sha512, sha1, md5, crc32c); "": none.
	Digest string

	// ChecksumSpool is a directory in which chunks with checksums are verified
	// before the store gets them. Only stores without AtomicWriter need it;
	// "": checksums are not offered with such a store. ChecksumSpoolSize is
	// the largest such chunk in bytes; 0: 1 GiB.
	ChecksumSpool     string
	ChecksumSpoolSize int64

	// TrustForwarded trusts every peer to name the host and the scheme of the
	// original request (Forwarded, X-Forwarded-Host, -Proto and -Port) and
	// the path that it has removed (X-Forwarded-Prefix). They are used for
	// Location and for the URLs in Upload-Concat. If it is false, the peers in
	// TrustedProxies are trusted. If that is nil, too, peers on the loopback, in
	// link-local and private networks and behind Unix sockets are.
	TrustForwarded bool
	// TrustedProxies are the networks of the operator's proxies; nil: see
	// TrustForwarded. Only these proxies are also trusted to name the address
	// of the client (Forwarded, X-Forwarded-For), which goes into the log,
	// events and the limits per client. If it is set, a proxy behind a Unix
	// socket is trusted like the proxies in these networks.
	TrustedProxies []netip.Prefix

	// MaxRequests is how many requests may be served at the same time; 0: no
	// limit. Further requests get a transient error.
	MaxRequests int
	// MaxUploadsPerClient is how many requests with content from one client may be
	// served at the same time; 0: no limit. A client is an address, or a /64 network of
	// IPv6. Addresses of proxies have no limit: those of TrustedProxies and of private
	// networks, and all with TrustForwarded.
	MaxUploadsPerClient int
	// MinRate is the number of bytes per second that the content of a request
	// must have on average over MinRateTime; 0: no minimum. Only the time in which
	// the server waits for the client counts. A slower body is ended with
	// ErrTooSlow. The bytes that have arrived are kept.
	MinRate     int64
	MinRateTime time.Duration // 0: 30 s

	// CORS decides which origins browsers may upload from; nil: every origin,
	// without credentials.
	CORS *CORSConfig

	// NetworkTimeout is how long a request's body may make no progress; 0: 60 s.
	// The client's reading of an answer may make none for twice as long.
	NetworkTimeout time.Duration
	// AcquireLockTimeout is how long a request waits for the lock on an
	// upload; 0: 20 s.
	AcquireLockTimeout time.Duration
	// GracePeriod is how long the server may go on storing received bytes after
	// the client has disconnected; 0: 10 s.
	GracePeriod time.Duration
	// ExpireAfter is how long an incomplete upload can be continued after its last
	// change; 0: without end. Every PATCH renews that. Clients learn the time from
	// Upload-Expires, and in the IETF draft from max-age in Upload-Limit; afterwards
	// they get ErrUploadExpired. Nothing is removed: Handler.Sweep does that. The clocks of all
	// processes, and of the store's disk or service, must agree.
	ExpireAfter time.Duration
	// ProgressInterval is the time between two post-receive events of one
	// request; 0: 1 s.
	ProgressInterval time.Duration

	Callbacks Callbacks
	// Events receives the post-* events, also those of uploads that an earlier process
	// left and NewHandler continues with; nil: only Handler.Subscribe. If it is set, an
	// upload counts as complete only when its record says so, so that its
	// post-finish is not lost: that costs three more small writes for each upload.
	Events EventSink
	// Delivery delivers the post-* events to a receiver that may be slow; nil: none.
	Delivery *Delivery
	// PartialFinish lets partial uploads have the PreFinish callback and post-finish, too.
	PartialFinish bool
	// Offline makes a handler for a tool that lists, removes or sweeps uploads beside the
	// process that serves them: it sends no events and does not continue what other processes
	// have left. The serving process sends the events of its removals, if the store has
	// SideRecords.
	Offline bool
	// ReadOnly makes a handler that changes nothing, not even by opening the store
	// (Env.ReadOnly). It is Offline; Terminate and Sweep, except a dry run, return
	// ErrNotImplemented, and no request is served.
	ReadOnly bool
	// Logger gets one line per request, and the faults that an operator has to
	// know; nil: slog.Default(). Texts that are too long for a line are cut.
	Logger *slog.Logger
}

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

// limitSize lowers MaxSize to the largest upload that the store can keep.
func (c *Config) limitSize(bytes int64) {
	if c.MaxSize == 0 || bytes < c.MaxSize {
		c.MaxSize = bytes
	}
}

// withDefaults validates c and returns it with zero values replaced by defaults.
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
	for _, d := range []*time.Duration{&c.NetworkTimeout, &c.AcquireLockTimeout, &c.GracePeriod, &c.ProgressInterval, &c.MinRateTime, &c.ExpireAfter} {
		if *d < 0 {
			return c, errors.New("tusd: Config: a duration is negative")
		}
	}
	if c.Delivery != nil {
		var err error
		if c.Delivery, err = c.Delivery.withDefaults(); err != nil {
			return c, err
		}
	}
	c.Offline = c.Offline || c.ReadOnly
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
	composer := *c.StoreComposer // a copy: the caller's does not change
	if composer.Locker == nil {
		composer.Locker = &LocalLocker{}
	}
	if composer.SideRecords == nil {
		composer.SideRecords = newMemorySideRecords()
		if c.Delivery != nil {
			c.Delivery.inMemory = true
		}
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
// ("https://host", or "" for the host of the request) and the escaped path,
// with a slash at both ends.
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

func (c *Config) openStore(ctx context.Context, evict func(context.Context, string, func(FileInfo) bool) error) error {
	return c.StoreComposer.Core.Open(ctx, Env{Locker: c.StoreComposer.Locker, LimitSize: c.limitSize, Evict: evict, ReadOnly: c.ReadOnly})
}

// offersExpiration reports whether uploads may expire: a callback can let a single one
// expire.
func (c *Config) offersExpiration() bool {
	return c.ExpireAfter > 0 || c.Callbacks.PreCreate != nil
}

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

// readsIncomplete reports whether the store can read an incomplete upload and cut
// off a stored chunk.
func (c *Config) readsIncomplete() bool {
	r := c.StoreComposer.Rewinder
	return r != nil && r.ReadsIncomplete()
}
