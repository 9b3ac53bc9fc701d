package cli

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/tus/tusd/s3store"
)

// s3Settings are the flags of storage in S3.
type s3Settings struct {
	bucket       string // "": uploads are not stored in S3
	objectPrefix string
	connection   s3Connection
	profile      s3store.Profile

	partSize        int64 // bytes, as the next two
	minPartSize     int64
	bufferMemory    int64
	bufferedParts   int // as in tusd v2; bufferMemory bounds what is buffered
	concurrentParts int

	startTimeout time.Duration // how long a start tries to reach the service; 0: once

	redirect         bool // downloads
	redirectLifetime time.Duration

	sweepMultipart bool

	key           string // template; "": {id}
	object        s3store.ObjectRules
	noContentHash bool
	logCalls      bool
}

func (s *s3Settings) declare(f *flag.FlagSet) {
	f.StringVar(&s.bucket, "s3-bucket", "", "keep uploads in this `bucket` instead of a directory;\ncredentials and region come from the environment, as\nAWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION")
	prefixVar(f, &s.objectPrefix, "s3-object-prefix", "`prefix` of all keys; a / is added at its end if missing")
	f.StringVar(&s.connection.endpoint, "s3-endpoint", "", "`URL` of a service other than AWS")
	profileVar(f, &s.profile, "s3-profile", "aws", "the `service`, by what it can take: aws, minio, r2, b2,\nceph, gcs, scaleway, or generic for any")
	durationOrZeroVar(f, &s.startTimeout, "s3-start-timeout", 30*time.Second, "how long a start tries again if the service does not\nanswer (`duration`); 0: not again")
	f.BoolVar(&s.connection.disableSSL, "s3-disable-ssl", false, "speak plain HTTP with the service")
	f.BoolVar(&s.connection.acceleration, "s3-transfer-acceleration", false, "use S3 Transfer Acceleration, of AWS")
	bytesVar(f, &s.partSize, "s3-part-size", 50<<20, "preferred size of parts in `bytes`")
	bytesVar(f, &s.minPartSize, "s3-min-part-size", 5<<20, "smallest part in `bytes`, but for the last; the profile\nmay demand more")
	countVar(f, &s.concurrentParts, "s3-concurrent-part-uploads", 10, 1, "how many parts are uploaded at the same time, for all\nrequests together (a `number`)")
	bytesVar(f, &s.bufferMemory, "s3-buffer-memory", 256<<20, "memory for content on its way to the service in `bytes`,\nfor all requests together")
	countVar(f, &s.bufferedParts, "s3-max-buffered-parts", 20, 0, "of tusd v2, a `number`: no effect, -s3-buffer-memory is\nthe limit")
	f.BoolVar(&s.noContentHash, "s3-disable-content-hashes", false, "do not sign content with its SHA-256, which saves CPU")
	f.BoolVar(&s.logCalls, "s3-log-api-calls", false, "log every call of the service; needs -verbose")
	keyVar(f, &s.key, "s3-key", s3store.CheckKey, "where the data of an upload lies behind the prefix: a key\nmade of {id}, which must be there, {date} and {filename};\nthe `template` is {id} if this is empty")
	f.BoolVar(&s.redirect, "s3-redirect-downloads", false, "redirect downloads to the service, by a URL that needs no\ncredentials; browsers save the file and do not show it")
	f.BoolVar(&s.sweepMultipart, "s3-sweep-multipart", false, "a sweep also aborts multipart uploads that no record\nnames. Only if nothing but tusd writes below the prefix;\na lifecycle rule of the bucket is the better way")
	lifetimeVar(f, &s.redirectLifetime, "s3-redirect-lifetime", time.Hour, "how long such a URL can be used (`duration`)")
	s.declareObject(f)
}

// declareObject adds flags for the attributes of objects.
func (s *s3Settings) declareObject(f *flag.FlagSet) {
	f.StringVar(&s.object.StorageClass, "s3-storage-class", "", "storage `class` of objects")
	f.StringVar(&s.object.CacheControl, "s3-cache-control", "", "Cache-Control of objects (a `value`)")
	choiceVar(f, &s.object.Encryption, "s3-sse", []string{"", "AES256", "aws:kms"}, "have the service encrypt objects: the `method` is AES256\nor aws:kms")
	f.StringVar(&s.object.EncryptionKey, "s3-sse-kms-key", "", "`id` of the key for -s3-sse aws:kms; the service has a\ndefault")
	tagsVar(f, &s.object.Tags, "s3-tags", "`tags` of objects, separated by commas: team=web,kind=raw")
	listVar(f, &s.object.MetadataKeys, "s3-metadata-keys", "`keys` of the client's metadata that objects carry, too,\nseparated by commas", parseMetadataKey)
}

// maxURLLifetime is the limit of S3 for presigned URLs.
const maxURLLifetime = 7 * 24 * time.Hour

// lifetimeVar adds a flag for the time that a presigned URL can be used.
func lifetimeVar(flags *flag.FlagSet, p *time.Duration, name string, preset time.Duration, usage string) {
	addFlag(flags, name, preset.String(), usage, func(text string) error {
		d, err := parseDuration(text)
		if err == nil && (d < time.Second || d > maxURLLifetime) {
			err = fmt.Errorf("must be from 1s to %v", maxURLLifetime)
		}
		*p = d
		return err
	})
}

// keyVar adds a flag for a template of names.
func keyVar(flags *flag.FlagSet, p *string, name string, check func(string) error, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		*p = text
		return check(text)
	})
}

func prefixVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		*p = text
		return s3store.CheckPrefix(text)
	})
}

func profileVar(flags *flag.FlagSet, p *s3store.Profile, name, preset, usage string) {
	addFlag(flags, name, preset, usage, func(text string) (err error) {
		*p, err = s3store.ProfileOf(text)
		return err
	})
}

// tagsVar adds a flag for pairs like team=web.
func tagsVar(flags *flag.FlagSet, p *map[string]string, name, usage string) {
	var pairs [][2]string
	listVar(flags, &pairs, name, usage, parseTag)
	value := flags.Lookup(name).Value.(*parsedValue)
	set := value.set
	value.set = func(text string) error {
		if err := set(text); err != nil {
			return err
		}
		*p = make(map[string]string, len(pairs))
		for _, pair := range pairs {
			if _, twice := (*p)[pair[0]]; twice {
				return errors.New("has the tag " + pair[0] + " twice")
			}
			(*p)[pair[0]] = pair[1]
		}
		return nil
	}
}

func parseTag(text string) (pair [2]string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return pair, errors.New("is no tag like team=web")
	}
	return [2]string{key, value}, nil
}

func parseMetadataKey(text string) (string, error) {
	if text == "" || strings.ContainsAny(text, " ,") {
		return "", errors.New("is no key of metadata")
	}
	return text, nil
}

// validate finds settings that contradict each other.
func (s *s3Settings) validate(cfg config) error {
	switch {
	case s.connection.acceleration && s.connection.endpoint != "":
		return cfg.exclude("s3-transfer-acceleration", "s3-endpoint")
	case s.minPartSize > s.partSize:
		return cfg.larger("s3-min-part-size", "s3-part-size")
	case cfg.isSet("s3-part-size") && s.partSize > s.bufferMemory/4:
		return errors.New(cfg.sources.name("s3-part-size") + " is larger than a quarter of " + cfg.sources.name("s3-buffer-memory"))
	case s.redirect && cfg.protocol.disableDownload:
		return cfg.exclude("s3-redirect-downloads", "disable-download")
	case s.object.EncryptionKey != "" && s.object.Encryption != "aws:kms":
		return errors.New(cfg.sources.name("s3-sse-kms-key") + " needs -s3-sse aws:kms")
	case s.sweepMultipart && !cfg.sweeps():
		return cfg.need("s3-sweep-multipart", "sweep-interval")
	case s.logCalls && !cfg.output.verbose:
		return cfg.need("s3-log-api-calls", "verbose")
	}
	return nil
}
