package tusd

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Checksums of a request's content: Upload-Checksum (tus 1.0, Checksum, as header
// or trailer) and Content-Digest (RFC 9530). Content is hashed while it streams.
// Content that is not verified never becomes part of the upload.

// algorithm is a hash function under its names.
type algorithm struct {
	tus   string // of Upload-Checksum and Config.Digest; "": not offered there
	field string // of RFC 9530; "": it has none
	hash  func() hash.Hash
}

const algorithmCount = 7

// longestDigest is longer than every digest, in bytes, and a multiple of 3.
const longestDigest = 69

// algorithms are the supported ones, the preferred first. tus demands sha1.
// RFC 9530 deprecates the field names of all but the first two.
var algorithms = [algorithmCount]algorithm{
	{"sha256", "sha-256", sha256.New},
	{"sha512", "sha-512", sha512.New},
	{"sha1", "sha", sha1.New},
	{"md5", "md5", md5.New},
	{"crc32", "", func() hash.Hash { return crc32.NewIEEE() }},
	{"crc32c", "crc32c", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
	{"", "adler", func() hash.Hash { return adler32.New() }},
}

// checksumNames is the value of Tus-Checksum-Algorithm.
const checksumNames = "sha1,sha256,sha512,md5,crc32,crc32c"

func tusAlgorithm(name string) *algorithm {
	for i := range algorithms {
		if name != "" && algorithms[i].tus == name {
			return &algorithms[i]
		}
	}
	return nil
}

func fieldAlgorithm(name string) *algorithm {
	if i := fieldAlgorithmIndex(name); i >= 0 {
		return &algorithms[i]
	}
	return nil
}

// fieldAlgorithmIndex returns the index in algorithms, or -1.
func fieldAlgorithmIndex(name string) int {
	for i := range algorithms {
		if name != "" && algorithms[i].field == name {
			return i
		}
	}
	return -1
}

// runningChecksum is a running hash and the value that it must have at the end.
type runningChecksum struct {
	algorithm *algorithm
	hash      hash.Hash
	want      []byte // nil: not compared
}

// verifier compares content with its checksums when the content has ended.
type verifier struct {
	checksums []runningChecksum
	// readTrailer, if not nil, reads the checksums from the trailer and sets
	// want. Its error refuses the content.
	readTrailer func(sums []runningChecksum) error
}

// hash returns the running hash of an algorithm, or nil. v may be nil.
func (v *verifier) hash(field string) hash.Hash {
	if v == nil {
		return nil
	}
	for _, s := range v.checksums {
		if s.algorithm.field == field {
			return s.hash
		}
	}
	return nil
}

// hashes returns the running hashes of a body, each once: those of its announced
// checksum, of its trailing checksum, and of the upload's digests. Each argument
// may be nil.
func hashes(v *verifier, t *trailingChecksum, r *digestRunner) []hash.Hash {
	var all []hash.Hash
	if v != nil {
		for _, s := range v.checksums {
			all = append(all, s.hash)
		}
	}
	if t != nil {
		for _, s := range t.checksums {
			all = append(all, s.hash)
		}
	}
	if r != nil {
		for _, h := range r.hashes {
			if h != nil && !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}

// writeHashes writes b to all hashes, in parallel.
func writeHashes(all []hash.Hash, b []byte) {
	var others sync.WaitGroup
	for i, h := range all {
		if i > 0 {
			others.Go(func() { h.Write(b) })
		}
	}
	all[0].Write(b)
	others.Wait()
}

// verify returns ErrChecksumMismatch if a checksum does not match. Call it when the
// content has ended.
func (v *verifier) verify() error {
	if v.readTrailer != nil {
		if err := v.readTrailer(v.checksums); err != nil {
			return err
		}
	}
	for _, s := range v.checksums {
		if s.want != nil && !bytes.Equal(s.hash.Sum(nil), s.want) {
			return ErrChecksumMismatch
		}
	}
	return nil
}

// writeVerified stores a body that has a verifier: all of it or nothing.
func (e *engine) writeVerified(op *operation, u *lockedUpload) (int64, error) {
	if writer := e.store.AtomicWriter; writer != nil {
		return writer.WriteAtomic(u.ctx, u.upload, u.info.Offset, op.body)
	}
	return e.writeSpooled(op, u)
}

// writeSpooled writes the body to a local file and verifies it before the store gets
// it. If the store then fails half-way, the bytes that it has stored are verified
// and may stay.
func (e *engine) writeSpooled(op *operation, u *lockedUpload) (int64, error) {
	limit := e.config.ChecksumSpoolSize
	if op.body.length > limit {
		return 0, ErrChecksumTooLarge
	}
	spool, err := os.CreateTemp(e.config.ChecksumSpool, spoolPrefix+"*")
	if err != nil {
		return 0, err
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // the open file needs no name; a crash leaves no file
		return 0, err
	}
	if n, err := io.Copy(spool, io.LimitReader(e.keepYoung(u, op.body), limit+1)); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return 0, ErrNoSpace.With(err)
	} else if err != nil {
		return 0, err
	} else if n > limit {
		return 0, ErrChecksumTooLarge
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return u.upload.WriteChunk(u.ctx, u.info.Offset, spool)
}

// keepYoung returns a reader of src that changes the record now and then, while the store does
// not get the bytes.
func (e *engine) keepYoung(u *lockedUpload, src io.Reader) io.Reader {
	return &youngKeeper{src: src, engine: e, upload: u, changed: e.now()}
}

type youngKeeper struct {
	src     io.Reader
	engine  *engine
	upload  *lockedUpload
	changed time.Time
}

// Read implements io.Reader.
func (k *youngKeeper) Read(p []byte) (int, error) {
	n, err := k.src.Read(p)
	if now := k.engine.now(); n > 0 && now.Sub(k.changed) >= visibleFor/2 {
		k.changed = now
		if changeErr := k.upload.update(k.upload.ctx, func(*FileInfo) error { return nil }); changeErr != nil {
			return n, changeErr
		}
	}
	return n, err
}

// spoolPrefix begins the names of spool files. A file has its name only between
// creation and removal in writeSpooled.
const spoolPrefix = "tusd-checksum-"

// sweepSpool removes spool files of processes that were killed before they removed
// them. A running process does not need the name of its file.
func (c *Config) sweepSpool() {
	if c.ChecksumSpool == "" {
		return
	}
	entries, err := os.ReadDir(c.ChecksumSpool)
	if err != nil {
		return // the first chunk with a checksum returns the error
	}
	for _, entry := range entries {
		digits, ours := strings.CutPrefix(entry.Name(), spoolPrefix)
		if ours && digits != "" && strings.Trim(digits, "0123456789") == "" && entry.Type().IsRegular() {
			os.Remove(filepath.Join(c.ChecksumSpool, entry.Name())) // if it fails, the next start retries
		}
	}
}
