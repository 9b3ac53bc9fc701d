package storetest

import (
	"context"
	"io"
	"strings"
	"testing/iotest"

	"github.com/tus/tusd"
)

const atomicRule = "AtomicWriter.WriteAtomic: nothing of the chunk"

var atomicCases = []testCase{
	{"atomic/whole", "AtomicWriter: as a whole or not at all", WriteAtomic, atomicWhole},
	{"atomic/source-fails", atomicRule, WriteAtomic, atomicSourceFails},
	{"atomic/source-fails-at-end", atomicRule, WriteAtomic, atomicSourceFailsAtEnd},
	{"atomic/cut", atomicRule, WriteAtomic, atomicCut},
	{"atomic/lease-lost", atomicRule, WriteAtomic, atomicLeaseLost},
	{"atomic/empty", "AtomicWriter.WriteAtomic: is WriteChunk with one difference", WriteAtomic, atomicEmpty},
}

func (e *env) writeAtomic(id string, offset, to int64) {
	e.Helper()
	n, err := e.composer.AtomicWriter.WriteAtomic(e.Context(), e.load(id), offset, ContentReader(id, offset, to))
	if err != nil || n != to-offset {
		e.Fatalf("write %d to %d of %s as a whole: stored %d, error %v", offset, to, id, n, err)
	}
}

func atomicWhole(e *env) {
	size := e.harness.LargestUpload
	e.create("a", size)
	e.writeAtomic("a", 0, 1000)
	e.wantStored("a", 1000)
	e.reopen()
	e.wantStored("a", 1000)
	e.write(e.load("a"), "a", 1000, 2000)
	e.writeAtomic("a", 2000, size)
	e.reopen()
	e.wantStored("a", size)
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", size)
}

// failAtomicWrite writes source, which fails, after 1000 stored bytes. It checks that no
// byte of source is stored, and continues the upload.
func failAtomicWrite(e *env, source io.Reader) {
	e.Helper()
	size := e.harness.LargestUpload
	upload := e.create("a", size)
	e.write(upload, "a", 0, 1000)
	n, err := e.composer.AtomicWriter.WriteAtomic(e.Context(), upload, 1000, source)
	e.wantError("WriteAtomic", err, errSource)
	if n != 0 {
		e.Errorf("n is %d, want 0", n)
	}
	if got := e.info(upload).Offset; got != 1000 {
		e.Errorf("the same value shows offset %d, want 1000", got)
	}
	e.wantStored("a", 1000)
	e.reopen()
	e.wantStored("a", 1000)
	e.writeAtomic("a", 1000, size)
	e.wantStored("a", size)
}

func atomicSourceFails(e *env) {
	failAtomicWrite(e, io.MultiReader(strings.NewReader(strings.Repeat("x", 3000)), iotest.ErrReader(errSource)))
}

// atomicSourceFailsAtEnd is like a checksum that does not match: the source fails after
// all bytes of the upload.
func atomicSourceFailsAtEnd(e *env) {
	wrong := ContentReader("other", 0, e.harness.LargestUpload-1000)
	failAtomicWrite(e, io.MultiReader(wrong, iotest.ErrReader(errSource)))
}

func atomicCut(e *env) {
	const size = 200 << 10
	e.write(e.create("a", size), "a", 0, 1000)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		upload := e.load("a")
		n, err := e.composer.AtomicWriter.WriteAtomic(ctx, upload, 1000, ContentReader("a", 1000, size))
		offset := e.info(e.view("a")).Offset
		if offset != 1000 && offset != size || n > offset-1000 {
			e.Errorf("n is %d, error %v, the offset is %d: want all or nothing", n, err, offset)
		}
		e.wantStored("a", offset)
		if offset == size {
			return nil
		}
		return err
	})
	e.reopen()
	e.wantStored("a", e.info(e.view("a")).Offset)
}

func atomicLeaseLost(e *env) {
	const size = 256 << 10
	upload := e.create("a", size)
	e.write(upload, "a", 0, 100)
	lose := func() { e.lease("a").lose(tusd.ErrLockLost) }
	source := &endingSource{ContentReader("a", 0, size), 1000, lose}
	n, err := e.composer.AtomicWriter.WriteAtomic(e.Context(), upload, 100, source)
	if n != 0 || err == nil {
		e.Errorf("n is %d, error %v", n, err)
	}
	e.wantStored("a", 100)
	e.reopen()
	e.wantStored("a", 100)
}

func atomicEmpty(e *env) {
	e.create("a", 100)
	e.writeAtomic("a", 0, 0)
	e.wantStored("a", 0)
	e.writeAtomic("a", 0, 100)
	e.writeAtomic("a", 100, 100)
	e.wantStored("a", 100)
}
