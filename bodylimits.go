package tusd

import (
	"math"
	"time"
)

// limitBody limits the body to the bytes that the upload may still take.
func (e *engine) limitBody(op *operation, info *FileInfo) error {
	limit, tooLong := e.remaining(info)
	if op.maxContent > 0 && op.maxContent < limit {
		limit, tooLong = op.maxContent, ErrAppendTooLarge
	}
	return op.body.allow(limit, tooLong)
}

// remaining returns how many bytes the upload may still take, and the error for
// more.
func (e *engine) remaining(info *FileInfo) (int64, *Error) {
	if length := info.length(); length >= 0 {
		return length - info.Offset, ErrUploadSizeExceeded
	}
	if e.config.MaxSize > 0 {
		return e.config.MaxSize - info.Offset, ErrMaxSizeExceeded
	}
	return math.MaxInt64 - info.Offset, ErrMaxSizeExceeded
}

// allow sets how many bytes may be read and the error for a longer body. A
// length that is known to be too long is refused without reading anything.
func (b *body) allow(limit int64, tooLong *Error) error {
	if b.length > limit {
		return tooLong
	}
	b.remaining, b.tooLong = limit, tooLong
	return nil
}

// read reads into p, never beyond the limit. If the length is not known, the last
// bytes up to the limit are returned only when the body has ended there, so that a
// body that is too long never completes an upload.
func (b *body) read(p []byte) (int, error) {
	if b.remaining <= 0 {
		return 0, b.probe()
	}
	if int64(len(p)) > b.remaining {
		p = p[:b.remaining]
	}
	n, err := b.src.Read(p)
	if err != nil || int64(n) < b.remaining || b.length >= 0 {
		return n, err
	}
	err = b.probe()
	if err == error(b.tooLong) {
		return 0, err
	}
	return n, err
}

// probe reads one byte where the body should have ended.
func (b *body) probe() error {
	var one [1]byte
	for {
		n, err := b.src.Read(one[:])
		if n > 0 {
			return b.tooLong
		}
		if err != nil {
			return err
		}
	}
}

// pace compares a body with a minimum rate. Only the time in which the server
// waits for the client counts.
type pace struct {
	rate   int64         // bytes per second; 0: no minimum
	window time.Duration // the rate is averaged over it

	bytes  int64 // in this window
	waited time.Duration
}

// tooSlow adds n bytes that took so long to arrive. At the end of a window it
// reports whether the window had too few bytes.
func (p *pace) tooSlow(n int, took time.Duration) bool {
	if p.rate == 0 {
		return false
	}
	p.bytes += int64(n)
	p.waited += took
	if p.waited < p.window {
		return false
	}
	slow := float64(p.bytes) < float64(p.rate)*p.waited.Seconds()
	p.bytes, p.waited = 0, 0
	return slow
}
