package storetest

import (
	"context"
	"io"
	"strings"

	"github.com/tus/tusd"
)

var readCases = []testCase{
	{"read/up-to-offset", "Upload.GetReader: up to the offset", 0, readUpToOffset},
	{"read/incomplete", "Upload.GetReader: ErrIncompleteUpload", 0, readIncomplete},
	{"read/seek", "Upload.GetReader: io.Seeker", 0, readSeek},
	{"read/close-early", "Upload.GetReader: closes it", 0, readCloseEarly},
}

func readUpToOffset(e *env) {
	upload := e.create("a", 100)
	if e.readable(upload) {
		if got := e.read(upload); len(got) != 0 {
			e.Errorf("an empty upload reads as %d bytes", len(got))
		}
	}
	e.write(upload, "a", 0, 60)
	if e.readable(upload) {
		if got := string(e.read(upload)); got != bytesOf("a", 60) {
			e.Errorf("read %d bytes, want the 60 that are stored", len(got))
		}
	}
	e.write(upload, "a", 60, 100)
	e.must(upload.FinishUpload(e.Context()))
	if got := string(e.read(upload)); got != bytesOf("a", 100) {
		e.Errorf("read %d bytes of the complete upload, want 100", len(got))
	}
}

func readIncomplete(e *env) {
	e.write(e.create("a", 100), "a", 0, 60)
	e.wantStored("a", 60)
	e.write(e.load("a"), "a", 60, 100)
	e.wantStored("a", 100)
}

func readSeek(e *env) {
	e.createComplete("a", 100)
	for _, from := range []int64{0, 1, 60, 99, 100} {
		r, err := e.view("a").GetReader(e.Context())
		e.must(err)
		if seeker, ok := r.(io.Seeker); ok {
			_, err = seeker.Seek(from, io.SeekStart)
			e.must(err)
			got, err := io.ReadAll(r)
			e.must(err)
			if want := bytesOf("a", 100)[from:]; string(got) != want {
				e.Errorf("after Seek to %d: %d bytes, want the last %d", from, len(got), len(want))
			}
		}
		e.must(r.Close())
	}
}

func readCloseEarly(e *env) {
	e.createComplete("a", 100<<10)
	for range 100 {
		r, err := e.view("a").GetReader(e.Context())
		e.must(err)
		_, err = r.Read(make([]byte, 10))
		e.must(err)
		e.must(r.Close())
	}
	e.wantStored("a", 100<<10)
}

var finishCases = []testCase{
	{"finish/complete", "Upload.FinishUpload: can be read", 0, finishComplete},
	{"finish/idempotent", "Upload.FinishUpload: Idempotent", 0, finishIdempotent},
	{"finish/cancelled", "Upload.FinishUpload: Idempotent", 0, finishCancelled},
	{"finish/zero-length", "Upload.FinishUpload: makes a full upload complete", 0, finishZeroLength},
	{"finish/state", "State: without a state", 0, finishState},
	{"finish/record", "Upload.FinishUpload: makes a full upload complete", 0, finishKeepsRecord},
}

func finishComplete(e *env) {
	size := e.harness.LargestUpload
	e.createComplete("a", size)
	e.wantStored("a", size)
	e.reopen()
	e.wantStored("a", size)
	e.wantComplete(e.info(e.view("a")), true)
}

func finishIdempotent(e *env) {
	upload := e.createComplete("a", 100)
	e.must(upload.FinishUpload(e.Context()))
	e.must(e.load("a").FinishUpload(e.Context()))
	e.reopen()
	e.must(e.load("a").FinishUpload(e.Context()))
	e.must(e.load("a").FinishUpload(e.Context()))
	e.wantStored("a", 100)
}

func finishCancelled(e *env) {
	e.createFull("a", 100)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		err := e.load("a").FinishUpload(ctx)
		e.wantStored("a", 100)
		return err
	})
	e.must(e.load("a").FinishUpload(e.Context()))
	e.reopen()
	e.wantStored("a", 100)
}

func finishZeroLength(e *env) {
	upload := e.create("empty", 0)
	e.must(upload.FinishUpload(e.Context()))
	e.wantStored("empty", 0)
	e.wantComplete(e.info(upload), true)
	e.reopen()
	e.must(e.load("empty").FinishUpload(e.Context()))
	e.wantStored("empty", 0)
	e.wantComplete(e.info(e.view("empty")), true)

	upload = e.create("empty-chunk", 0)
	n, err := upload.WriteChunk(e.Context(), 0, strings.NewReader(""))
	if n != 0 || err != nil {
		e.Errorf("an empty chunk of an empty upload: %d, %v", n, err)
	}
	e.must(upload.FinishUpload(e.Context()))
	e.wantStored("empty-chunk", 0)
}

func finishState(e *env) {
	upload := e.create("a", 100)
	e.wantComplete(e.info(upload), false)
	e.write(upload, "a", 0, 99)
	e.wantComplete(e.info(upload), false)
	e.write(upload, "a", 99, 100)
	e.wantComplete(e.info(e.view("a")), true)

	confirmed := newInfo("b", 10)
	confirmed.State = tusd.StateUploading
	upload = e.createInfo(confirmed)
	e.write(upload, "b", 0, 10)
	e.wantComplete(e.info(e.view("b")), false)
	e.must(upload.FinishUpload(e.Context()))
	e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateComplete
		return nil
	}))
	e.reopen()
	e.wantComplete(e.info(e.view("b")), true)
	e.wantStored("b", 10)
}

func finishKeepsRecord(e *env) {
	want := fullInfo("a")
	upload := e.createInfo(want)
	e.write(upload, "a", 0, 30)
	e.must(upload.FinishUpload(e.Context()))
	e.wantInfo(e.info(upload), want)
	e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateComplete
		return nil
	}))
	want.State = tusd.StateComplete
	e.reopen()
	e.wantInfo(e.info(e.view("a")), want)
	e.wantStored("a", 30)
}
