package storetest

import (
	"context"
	"errors"
	"io"
	"testing/iotest"

	"github.com/tus/tusd"
)

var interruptCases = []testCase{
	{"write/source-fails", "Upload.WriteChunk: src fails", 0, writeSourceFails},
	{"write/source-fails-with-data", "Upload.WriteChunk: src fails", 0, writeSourceFailsWithData},
	{"write/source-fails-at-once", "Upload.WriteChunk: src fails", 0, writeSourceFailsAtOnce},
	{"write/source-fails-late", "Upload.WriteChunk: src fails", 0, writeSourceFailsLate},
	{"write/ctx-ends", "Upload.WriteChunk: lease is lost", 0, writeCtxEnds},
	{"write/lease-lost", "Upload.WriteChunk: lease is lost", 0, writeLeaseLost},
	{"write/cut-anywhere", "Upload.WriteChunk: loses nothing", 0, writeCutAnywhere},
	{"lease/lost-before", "DataStore.GetUpload: until the lease ends", 0, changesAfterLoss},
}

var errSource = errors.New("the source failed")

// interruptWrite writes source, which fails after kept bytes. It checks that they are
// stored, and completes the upload.
func interruptWrite(e *env, source io.Reader, kept, size int64) {
	e.Helper()
	upload := e.create("a", size)
	n, err := upload.WriteChunk(e.Context(), 0, source)
	e.wantError("WriteChunk", err, errSource)
	if n != kept {
		e.Errorf("stored %d bytes, want the %d that came before the failure", n, kept)
	}
	if got := e.info(upload).Offset; got != kept {
		e.Errorf("the same value shows offset %d, want %d", got, kept)
	}
	e.wantStored("a", kept)
	e.reopen()
	e.wantStored("a", kept)
	e.write(e.load("a"), "a", kept, size)
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", size)
}

func writeSourceFails(e *env) {
	interruptWrite(e, io.MultiReader(ContentReader("a", 0, 1000), iotest.ErrReader(errSource)), 1000, 3000)
}

// dataAndError delivers its last bytes together with the error.
type dataAndError struct{ r *io.SectionReader }

func (s dataAndError) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF || s.at() == s.r.Size() {
		err = errSource
	}
	return n, err
}

func (s dataAndError) at() int64 {
	at, _ := s.r.Seek(0, io.SeekCurrent) // cannot fail
	return at
}

func writeSourceFailsWithData(e *env) {
	interruptWrite(e, dataAndError{ContentReader("a", 0, 1000)}, 1000, 3000)
}

func writeSourceFailsAtOnce(e *env) {
	interruptWrite(e, iotest.ErrReader(errSource), 0, 3000)
}

func writeSourceFailsLate(e *env) {
	size := e.harness.LargestUpload
	kept := size/2 + 12345
	interruptWrite(e, failAfter(ContentReader("a", 0, kept), kept, errSource), kept, size)
}

// endingSource yields the Content of id, and calls end after n bytes.
type endingSource struct {
	r   *io.SectionReader
	n   int64
	end func()
}

func (s *endingSource) Read(p []byte) (int, error) {
	if s.n > 0 {
		p = p[:min(int64(len(p)), s.n)]
	} else {
		s.end()
	}
	n, err := s.r.Read(p)
	s.n -= int64(n)
	return n, err
}

// checkInterruptedWrite checks an upload whose write was ended after kept bytes: no later
// byte of the source is stored.
func checkInterruptedWrite(e *env, n int64, err error, kept, size int64) {
	e.Helper()
	if err == nil {
		e.Error("WriteChunk gives no error")
	}
	offset := e.info(e.view("a")).Offset
	if offset > kept {
		e.Errorf("the offset is %d, but only %d bytes came before the end", offset, kept)
	}
	if n > offset {
		e.Errorf("%d bytes were acknowledged, the offset is %d", n, offset)
	}
	e.wantStored("a", offset)
	e.reopen()
	e.wantStored("a", offset)
	e.write(e.load("a"), "a", offset, size)
	e.wantStored("a", size)
}

func writeCtxEnds(e *env) {
	const kept, size = 1000, 256 << 10
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	n, err := e.create("a", size).WriteChunk(ctx, 0, &endingSource{ContentReader("a", 0, size), kept, cancel})
	checkInterruptedWrite(e, n, err, kept, size)
}

func writeLeaseLost(e *env) {
	const kept, size = 1000, 256 << 10
	upload := e.create("a", size)
	lose := func() { e.lease("a").lose(tusd.ErrLockLost) }
	n, err := upload.WriteChunk(e.Context(), 0, &endingSource{ContentReader("a", 0, size), kept, lose})
	checkInterruptedWrite(e, n, err, kept, size)
}

func writeCutAnywhere(e *env) {
	const size = 200 << 10
	e.create("a", size)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		upload := e.load("a")
		offset := e.info(upload).Offset
		n, err := upload.WriteChunk(ctx, offset, ContentReader("a", offset, size))
		now := e.info(e.view("a")).Offset
		if now < offset+n {
			e.Errorf("%d bytes were acknowledged at %d, the offset is %d", n, offset, now)
		}
		e.wantStored("a", now)
		return err
	})
	upload := e.load("a")
	e.write(upload, "a", e.info(upload).Offset, size)
	e.wantStored("a", size)
}

func changesAfterLoss(e *env) {
	upload := e.create("a", 100)
	e.write(upload, "a", 0, 10)
	e.lease("a").lose(tusd.ErrLockLost)
	if n, err := upload.WriteChunk(e.Context(), 10, ContentReader("a", 10, 100)); err == nil || n != 0 {
		e.Errorf("WriteChunk after the loss: %d bytes, error %v", n, err)
	}
	err := upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateFailed
		return nil
	})
	if err == nil {
		e.Error("UpdateInfo after the loss gives no error")
	}
	e.unlock("a")
	e.wantStored("a", 10)
	if state := e.info(e.view("a")).State; state != "" {
		e.Errorf("State became %q after the loss", state)
	}
}
