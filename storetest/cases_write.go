package storetest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing/iotest"

	"github.com/tus/tusd"
)

var writeCases = []testCase{
	{"write/at-offset", "Upload.WriteChunk: src at offset", 0, writeAtOffset},
	{"write/counts", "Upload.WriteChunk: n counts the bytes", 0, writeCounts},
	{"write/empty", "Upload.WriteChunk: empty src", 0, writeEmpty},
	{"write/offset-from-data", "FileInfo.Offset: from the data", 0, writeOffsetFromData},
	{"write/one-byte-at-a-time", "Upload.WriteChunk: src at offset", 0, writeByteByByte},
	{"write/32-bytes-and-restart", "Upload.WriteChunk: src at offset", 0, writeSmallSteps},
	{"write/1-MiB-and-restart", "Upload.WriteChunk: src at offset", 0, writeLargeSteps},
	{"write/uneven-source", "Upload.WriteChunk: src at offset", 0, writeUnevenSource},
	{"write/deferred-length", "LengthDeferrer: not known at creation", DeferLength, writeDeferred},
	{"write/readers-beside", "DataStore: during a change", 0, writeBesideReaders},
	{"durable/changes-nothing", "Upload.MakeDurable: neither record nor bytes", 0, durableChangesNothing},
	{"durable/again", "Upload.MakeDurable: can be called again", 0, durableAgain},
	{"write/info-beside", "Upload: not safe for concurrent use", 0, writeBesideInfo},
	{"write/source-after-return", "Upload.WriteChunk: not after it returned", 0, writeSourceAfterReturn},
}

func writeAtOffset(e *env) {
	upload := e.create("a", 100)
	e.write(upload, "a", 0, 40)
	e.wantStored("a", 40)
	e.write(upload, "a", 40, 100) // through the same value
	e.wantStored("a", 100)
}

func writeCounts(e *env) {
	upload := e.create("a", 100)
	for offset := int64(0); offset < 100; {
		n, err := upload.WriteChunk(e.Context(), offset, ContentReader("a", offset, min(offset+7, 100)))
		e.must(err)
		offset += n
		if got := e.info(upload).Offset; got != offset {
			e.Fatalf("GetInfo shows offset %d after %d acknowledged bytes", got, offset)
		}
		e.wantStored("a", offset)
	}
}

func writeEmpty(e *env) {
	upload := e.create("a", 10)
	e.write(upload, "a", 0, 0)
	e.wantStored("a", 0)
	e.write(upload, "a", 0, 5)
	e.write(upload, "a", 5, 5)
	e.reopen()
	e.write(e.load("a"), "a", 5, 5)
	e.wantStored("a", 5)
	e.write(e.load("a"), "a", 5, 10)
	e.write(e.load("a"), "a", 10, 10)
	e.wantStored("a", 10)
}

func writeOffsetFromData(e *env) {
	upload := e.create("a", 100)
	e.wantStored("a", 0)
	lie := func(i *tusd.FileInfo) error { i.Offset = 99; return nil }
	e.must(upload.UpdateInfo(e.Context(), lie))
	if got := e.info(upload).Offset; got != 0 {
		e.Errorf("an empty upload is at offset %d", got)
	}
	e.reopen()
	e.wantStored("a", 0)
	upload = e.load("a")
	e.write(upload, "a", 0, 10)
	e.must(upload.UpdateInfo(e.Context(), lie))
	e.reopen()
	e.wantStored("a", 10)
}

func writeByteByByte(e *env) {
	upload := e.create("a", 100)
	for offset := range int64(100) {
		e.write(upload, "a", offset, offset+1)
	}
	e.must(upload.FinishUpload(e.Context()))
	e.wantStored("a", 100)
}

func durableChangesNothing(e *env) {
	upload := e.create("a", 100)
	for _, offset := range []int64{0, 40, 100} {
		e.write(upload, "a", e.info(upload).Offset, offset)
		for _, view := range []tusd.Upload{upload, e.view("a"), e.load("a")} {
			before := e.info(view)
			e.must(view.MakeDurable(e.Context()))
			if after := e.info(view); !reflect.DeepEqual(before, after) {
				e.Errorf("MakeDurable changes the record from %+v to %+v", before, after)
			}
		}
		e.wantStored("a", offset)
		e.reopen()
		e.wantStored("a", offset)
		upload = e.load("a")
	}
}

func durableAgain(e *env) {
	e.write(e.create("a", 100), "a", 0, 40)
	e.reopen()
	ended, cancel := context.WithCancel(e.Context())
	cancel()
	for _, upload := range []tusd.Upload{e.view("a"), e.load("a")} {
		upload.MakeDurable(ended) // it may fail
		e.must(upload.MakeDurable(e.Context()))
		e.must(upload.MakeDurable(e.Context()))
	}
	e.write(e.load("a"), "a", 40, 100)
	e.wantStored("a", 100)
}

func writeSmallSteps(e *env) {
	e.create("a", 320)
	for offset := int64(0); offset < 320; offset += 32 {
		e.write(e.load("a"), "a", offset, offset+32)
		e.reopen()
		e.wantStored("a", offset+32)
	}
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", 320)
}

func writeLargeSteps(e *env) {
	size := e.harness.LargestUpload
	e.create("a", size)
	for offset := int64(0); offset < size; {
		next := min(offset+1<<20, size)
		e.write(e.load("a"), "a", offset, next)
		e.reopen()
		offset = next
		e.wantStored("a", offset)
	}
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", size)
}

func writeUnevenSource(e *env) {
	const size = 5000
	for id, source := range map[string]io.Reader{
		"one-byte":     iotest.OneByteReader(ContentReader("one-byte", 0, size)),
		"half":         iotest.HalfReader(ContentReader("half", 0, size)),
		"data-and-eof": iotest.DataErrReader(ContentReader("data-and-eof", 0, size)),
		"empty-reads":  &emptyReads{r: ContentReader("empty-reads", 0, size)},
	} {
		n, err := e.create(id, size).WriteChunk(e.Context(), 0, source)
		if n != size || err != nil {
			e.Errorf("source %s: stored %d, error %v", id, n, err)
		}
		e.wantStored(id, size)
	}
}

// emptyReads returns no bytes and no error from every other Read, as io.Reader allows.
type emptyReads struct {
	r     io.Reader
	empty bool
}

func (s *emptyReads) Read(p []byte) (int, error) {
	s.empty = !s.empty
	if s.empty {
		return 0, nil
	}
	return s.r.Read(p[:min(len(p), 100)])
}

func writeDeferred(e *env) {
	upload := e.createDeferred("a")
	e.write(upload, "a", 0, 33)
	e.reopen()
	e.wantStored("a", 33)
	e.write(e.load("a"), "a", 33, 50)
	e.wantStored("a", 50)
	if info := e.info(e.view("a")); !info.SizeIsDeferred || info.Size != 0 {
		e.Errorf("Size, SizeIsDeferred are %d, %t", info.Size, info.SizeIsDeferred)
	}
}

// writeBesideReaders loads and reads an upload without a lease while it grows.
func writeBesideReaders(e *env) {
	size := e.harness.LargestUpload
	upload := e.create("a", size)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := int64(0); ; {
				last = e.checkPrefix("a", last)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	n, err := upload.WriteChunk(e.Context(), 0, iotest.HalfReader(ContentReader("a", 0, size)))
	close(done)
	wg.Wait()
	if n != size || err != nil {
		e.Errorf("stored %d of %d, error %v", n, size, err)
	}
	e.wantStored("a", size)
}

// checkPrefix loads an upload that is being written. It checks that the bytes up to the
// offset are correct, and that the offset is not below last. It returns the offset. It
// may run in any goroutine.
func (e *env) checkPrefix(id string, last int64) int64 {
	offset, got, err := viewPrefix(e, id)
	switch {
	case err != nil:
		e.Errorf("read during a write: %v", err)
	case offset < last:
		e.Errorf("the offset fell from %d to %d", last, offset)
	case int64(len(got)) < offset:
		e.Errorf("the offset is %d, but only %d bytes can be read", offset, len(got))
	default:
		want := make([]byte, len(got))
		Content(id, 0, want)
		if i := difference(got, want); i < len(got) {
			e.Errorf("during a write, wrong bytes are read from %d on", i)
		}
	}
	return max(offset, last)
}

// viewPrefix returns the offset and the stored bytes of an upload. If the store reads full
// uploads only, it returns the expected bytes.
func viewPrefix(e *env, id string) (offset int64, got []byte, err error) {
	upload, err := e.store.GetUpload(e.Context(), nil, id)
	if err != nil {
		return 0, nil, err
	}
	info, err := upload.GetInfo(e.Context())
	if err != nil || e.harness.Unreadable && !info.Full() {
		return info.Offset, prefixOf(id, info.Offset), err
	}
	r, err := upload.GetReader(e.Context())
	if err != nil {
		return 0, nil, err
	}
	got, err = io.ReadAll(r)
	return info.Offset, got, errors.Join(err, r.Close())
}

// prefixOf returns the Content of id up to offset.
func prefixOf(id string, offset int64) []byte {
	p := make([]byte, offset)
	Content(id, 0, p)
	return p
}

func writeBesideInfo(e *env) {
	const size = 256 << 10
	upload := e.create("a", size)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if info, err := upload.GetInfo(e.Context()); err != nil || info.Offset > size || info.ID != "a" {
				e.Errorf("GetInfo during a write: %v, offset %d", err, info.Offset)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	n, err := upload.WriteChunk(e.Context(), 0, ContentReader("a", 0, size))
	close(done)
	wg.Wait()
	if n != size || err != nil {
		e.Errorf("stored %d, error %v", n, err)
	}
	e.wantStored("a", size)
}

func writeSourceAfterReturn(e *env) {
	source := &guardedSource{r: ContentReader("a", 0, 50<<10)}
	upload := e.create("a", 100<<10)
	_, err := upload.WriteChunk(e.Context(), 0, source)
	e.must(err)
	source.close()
	e.write(upload, "a", 50<<10, 100<<10)
	e.wantStored("a", 100<<10)
	if late := source.lateReads(); late > 0 {
		e.Errorf("the source was read %d times after WriteChunk had returned", late)
	}
}

// guardedSource counts reads after close.
type guardedSource struct {
	mu     sync.Mutex
	r      io.Reader
	closed bool
	late   int
}

func (s *guardedSource) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.late++
		return 0, io.EOF
	}
	return s.r.Read(p)
}

func (s *guardedSource) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *guardedSource) lateReads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}

// wantComplete checks the result of info.Complete.
func (e *env) wantComplete(info tusd.FileInfo, complete bool) {
	e.Helper()
	if info.Complete() != complete {
		e.Errorf("Complete() of %s is %t with offset %d, size %d, state %q", info.ID, info.Complete(), info.Offset, info.Size, info.State)
	}
}

// bytesOf returns the Content of id as a string.
func bytesOf(id string, size int64) string {
	var b strings.Builder
	io.Copy(&b, ContentReader(id, 0, size)) // returns no error
	return b.String()
}
