package storetest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestContentIsAFunctionOfIDAndOffset(t *testing.T) {
	whole := make([]byte, 1000)
	Content("a", 0, whole)
	for offset := range int64(40) {
		for _, size := range []int{0, 1, 7, 8, 9, 100} {
			part := make([]byte, size)
			Content("a", offset, part)
			if !bytes.Equal(part, whole[offset:int(offset)+size]) {
				t.Fatalf("%d bytes at %d differ from the same bytes of the whole", size, offset)
			}
		}
	}
}

func TestContentDiffers(t *testing.T) {
	a, b, far := make([]byte, 64), make([]byte, 64), make([]byte, 64)
	Content("a", 0, a)
	Content("b", 0, b)
	Content("a", math.MaxInt64-64, far)
	if bytes.Equal(a, b) || bytes.Equal(a, far) || bytes.Equal(a[:32], a[32:]) {
		t.Error("content repeats")
	}
}

func TestContentReader(t *testing.T) {
	got, err := io.ReadAll(ContentReader("a", 10, 25))
	want := make([]byte, 15)
	Content("a", 10, want)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %x, want %x, error %v", got, want, err)
	}
}

// TestSyntheticUpload resumes an upload of 5 TiB near its end.
func TestSyntheticUpload(t *testing.T) {
	const size, tail = 5 << 40, 100_000
	m := NewMemory()
	m.Synthetic = true
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "big", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.NewUpload(t.Context(), lease, newInfo("big", size)); err != nil {
		t.Fatal(err)
	}
	if err := m.Fill("big", size-tail); err != nil {
		t.Fatal(err)
	}
	upload, err := m.GetUpload(t.Context(), lease, "big")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := upload.WriteChunk(t.Context(), size-tail, strings.NewReader("not these")); err == nil || n != 0 {
		t.Errorf("wrong bytes are accepted: %d, %v", n, err)
	}
	n, err := upload.WriteChunk(t.Context(), size-tail, ContentReader("big", size-tail, size))
	if n != tail || err != nil {
		t.Errorf("stored %d, error %v", n, err)
	}
	if err := upload.FinishUpload(t.Context()); err != nil {
		t.Error(err)
	}
	wantTail(t, upload, size, tail)
}

// wantTail reads the last bytes of a synthetic upload.
func wantTail(t *testing.T, upload tusd.Upload, size, tail int64) {
	t.Helper()
	all := upload.(*memoryUpload).store.uploads["big"].data
	got, err := io.ReadAll(io.NewSectionReader(all, size-tail, tail+1))
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(ContentReader("big", size-tail, size))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the last bytes differ at %d", difference(got, want))
	}
}

func TestFillNeedsSyntheticStore(t *testing.T) {
	if err := NewMemory().Fill("a", 1); err == nil {
		t.Error("Fill of a store that is not synthetic gives no error")
	}
	m := NewMemory()
	m.Synthetic = true
	if err := m.Fill("a", 1); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestMemoryIsStrict(t *testing.T) {
	m := NewMemory()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "a", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	upload, err := m.NewUpload(t.Context(), lease, newInfo("a", 10))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, wrongOffset := upload.WriteChunk(ctx, 5, strings.NewReader("x"))
	_, tooLong := upload.WriteChunk(ctx, 0, strings.NewReader("12345678901"))
	_, noLease := m.NewUpload(ctx, nil, newInfo("b", 10))
	for _, c := range []struct {
		what      string
		got, want error
	}{
		{"a wrong offset", wrongOffset, tusd.ErrMismatchedOffset},
		{"a chunk beyond the length", tooLong, tusd.ErrUploadSizeExceeded},
		{"finishing too early", upload.FinishUpload(ctx), tusd.ErrIncompleteUpload},
		{"a length that was known", m.DeclareLength(ctx, upload, 20), tusd.ErrInvalidUploadLength},
		{"a creation without a lease", noLease, tusd.ErrNoLease},
		{"a termination without a lease", m.Terminate(ctx, nil, "a"), tusd.ErrNoLease},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: error is %v, want %v", c.what, c.got, c.want)
		}
	}
	for _, key := range []tusd.SideRecordKey{{}, {Kind: "k", Name: "A"}, {Kind: "k/", Name: "a"}, {Kind: "k", Name: strings.Repeat("a", 101)}} {
		if m.PutSideRecord(ctx, key, nil) == nil {
			t.Errorf("side key %q is accepted", key)
		}
	}
	if m.PutSideRecord(ctx, sideKey("a"), make([]byte, tusd.MaxSideRecord+1)) == nil {
		t.Error("a side record above 64 KiB is accepted")
	}
}
