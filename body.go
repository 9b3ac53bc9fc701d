package tusd

import (
	"bytes"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// body is the content of a request as an operation gives it to a store. It
// limits the length, translates errors, and can be ended by abort. Only one
// goroutine may call Read; any may call abort and received.Load.
type body struct {
	src       io.Reader
	request   *http.Request // the original one of net/http
	length    int64         // Content-Length in bytes; -1: not known before the end
	deadlines *deadline.Request
	counter   *atomic.Uint64    // counts bytes while they are read; may be nil
	progress  func(n int64)     // called after each read with the number of all bytes read; may be nil
	verifier  *verifier         // checksums that the content has to match; may be nil
	trailing  *trailingChecksum // a checksum that may come unannounced; may be nil
	digests   *digestRunner     // digests of the upload that are updated while the body is read; may be nil
	hashes    []hash.Hash       // of verifier, trailing and digests
	pace      pace

	full       int64        // the number of bytes that make the upload full; only with beforeFull
	beforeFull func() error // called before Read returns the last of them; its error ends the body; may be nil

	started   atomic.Int64  // time of the first read, in nanoseconds since 1970; 0 before
	remaining int64         // bytes that Read may still return
	tooLong   *Error        // error for a longer body
	received  atomic.Int64  // bytes that were read, with those that Read withheld
	waited    time.Duration // for the client
	err       error         // io.EOF or the error that ended the body; every later Read returns it
}

// requireEmpty reads the body and returns an error if it contains a byte.
func (b *body) requireEmpty() error {
	var one [1]byte
	_, err := io.ReadFull(b, one[:])
	if err == io.EOF {
		return nil
	}
	return err
}

// hasBytes reports whether the body contains a byte. If the length is not known, it
// waits for the first byte or the end. Call it before the first Read.
func (b *body) hasBytes() (bool, error) {
	if b.length >= 0 {
		return b.length > 0, nil
	}
	now := time.Now()
	b.started.Store(now.UnixNano())
	if err := b.deadlines.BeforeRead(now); err != nil {
		return false, b.end(err)
	}
	first := make([]byte, 1)
	_, err := io.ReadFull(b.src, first)
	switch {
	case err == io.EOF:
		b.end(err)
		return false, nil
	case err != nil:
		return false, b.end(err)
	}
	b.src = io.MultiReader(bytes.NewReader(first), b.src)
	return true, nil
}

// ended reports whether the body has ended, with or without an error.
func (b *body) ended() bool { return b.err != nil }

// abort makes Read fail with cause, at the earliest minReadTime after the first Read. It
// reports whether it does: not if the end of the body has been read, or an earlier abort
// counts.
func (b *body) abort(cause error) bool {
	var notBefore time.Time
	if started := b.started.Load(); started != 0 {
		notBefore = time.Unix(0, started).Add(minReadTime)
	} else {
		notBefore = time.Now().Add(minReadTime)
	}
	return b.deadlines.Abort(cause, notBefore)
}

// Read implements io.Reader. Its errors are io.EOF, an *Error, that of beforeFull, or
// ErrUnverified, after which the caller does not read on.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	now := time.Now()
	if b.started.Load() == 0 {
		b.started.Store(now.UnixNano())
	}
	if err := b.deadlines.BeforeRead(now); err != nil {
		return 0, b.end(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	took := time.Since(now)
	b.waited += took
	if err == nil && b.pace.tooSlow(n, took) {
		err = ErrTooSlow
		b.deadlines.Abort(err, now) // the rest of the body is not awaited either
	}
	if n > 0 {
		b.received.Add(int64(n))
		b.remaining -= int64(n)
		b.observe(p[:n])
	}
	if err == io.EOF && b.trailing != nil {
		if unverified := b.trailing.end(p[:n], b.received.Load()); unverified != nil {
			b.end(err)
			return 0, unverified
		}
	}
	if err == io.EOF && b.verifier != nil {
		if mismatch := b.verifier.verify(); mismatch != nil {
			b.deadlines.AfterRead()
			err = mismatch
		}
	}
	if n > 0 && b.beforeFull != nil && b.received.Load() == b.full {
		if failure := b.beforeFull(); failure != nil {
			b.err = failure
			return 0, failure
		}
	}
	return n, b.end(err)
}

// observe updates the counter, the hashes and the progress with the bytes that were read.
func (b *body) observe(p []byte) {
	if b.counter != nil {
		b.counter.Add(uint64(len(p)))
	}
	if len(b.hashes) > 0 {
		writeHashes(b.hashes, p)
	}
	if b.progress != nil {
		b.progress(b.received.Load())
	}
}

// end translates the error that ends the body and stores it in b.err.
func (b *body) end(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF || b.isWhole() {
		b.deadlines.AfterRead()
		b.err = io.EOF
		return io.EOF
	}
	b.err = b.translate(err)
	return b.err
}

// isWhole reports whether all bytes of an aborted body were read. Such a body counts
// as ended: over HTTP/2 the end may arrive after the last byte. With a checksum it
// does not count, because the checksum may be in the trailer.
func (b *body) isWhole() bool {
	if b.length < 0 || b.received.Load() != b.length || b.verifier != nil || b.trailing != nil {
		return false
	}
	cause := b.deadlines.Aborted()
	return cause != nil && cause != error(ErrLockLost) && cause != error(ErrTooSlow)
}

// translate returns the *Error for an error of reading the body.
func (b *body) translate(err error) error {
	var own *Error
	var tooLarge *http.MaxBytesError
	cause := b.deadlines.Aborted()
	switch {
	case errors.As(err, &own):
		return err
	case cause != nil: // whatever error the abort made Read return
		return cause
	case errors.As(err, &tooLarge):
		return ErrBodyTooLarge.With(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrReadTimeout.With(err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ErrConnectionReset.With(err)
	}
	return ErrUnexpectedEOF.With(err)
}
