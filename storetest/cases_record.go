package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/tus/tusd"
)

var recordCases = []testCase{
	{"record/round-trip", "DataStore.NewUpload: new, empty upload", 0, recordRoundTrip},
	{"record/empty", "DataStore.NewUpload: new, empty upload", 0, recordEmpty},
	{"record/values", "FileInfo: is a value", 0, recordValues},
	{"update/every-field", "Upload.UpdateInfo: changes the record / more than once", 0, updateEveryField},
	{"update/error", "Upload.UpdateInfo: nothing changes", 0, updateError},
	{"update/store-owned", "Upload.UpdateInfo: are ignored", 0, updateStoreOwned},
	{"update/beside-data", "Upload.UpdateInfo: Atomic", 0, updateBesideData},
	{"update/cancelled", "Upload.UpdateInfo: Atomic", 0, updateCancelled},
	{"update/changed", "Upload.UpdateInfo: counts as a change", 0, updateChanged},
	{"update/seen", "Upload.GetInfo: through this value", 0, updateSeenThroughValue},
	{"update/large", "Upload.UpdateInfo: changes the record", 0, updateLarge},
}

// fullInfo is a record in which every field that the caller owns is set.
func fullInfo(id string) tusd.FileInfo {
	known := int64(30)
	return tusd.FileInfo{
		ID:             id,
		Size:           30,
		MetaData:       tusd.MetaData{"filename": "Übergröße ☃ \U0001F600.txt", "empty": "", "control": "a\r\nb\x00c\u2028<&>\"\\"},
		IsFinal:        true,
		PartialUploads: []string{"b", "a", "b"},
		Version:        tusd.RecordVersion,
		Created:        time.Date(2026, 11, 22, 13, 14, 15, 123456789, time.UTC),
		Owner:          "owner",
		Expires:        time.Date(2026, 12, 24, 18, 19, 20, 987654321, time.UTC),
		Dialect:        tusd.DialectIETF,
		State:          tusd.StateUploading,
		RawMetaData:    "filename w5xi,empty ,control YQ==",
		RawConcat:      "final;/files/b /files/a /files/b",
		Finals:         []string{"f1", "f/2"},
		Failure: &tusd.Failure{
			Code: "ERR_UPLOAD_REJECTED", StatusCode: 418, Body: "kein Tee", Header: map[string]string{"X-Reason": "ü"},
		},
		Digests:     []tusd.Digest{{Algorithm: "sha-256", Offset: 7, State: []byte("state"), Sum: []byte("sum"), Want: []byte("want")}},
		KnownLength: &known,
	}
}

// wantInfo compares the caller's fields of two records. Empty and absent maps and
// slices are equal.
func (e *env) wantInfo(got, want tusd.FileInfo) {
	e.Helper()
	got.Storage, want.Storage, got.Offset, want.Offset = nil, nil, 0, 0
	if g, w := canonical(got), canonical(want); g != w {
		e.Errorf("the record differs\n got %s\nwant %s", g, w)
	}
}

// canonical returns a form in which equivalent records are equal.
func canonical(info tusd.FileInfo) string {
	info.Created, info.Expires = info.Created.UTC(), info.Expires.UTC()
	if len(info.MetaData) == 0 {
		info.MetaData = nil
	}
	if len(info.PartialUploads) == 0 {
		info.PartialUploads = nil
	}
	record, err := json.Marshal(info)
	if err != nil {
		return err.Error()
	}
	return string(record)
}

func recordRoundTrip(e *env) {
	want := fullInfo("a")
	e.wantInfo(e.info(e.createInfo(want)), want)
	e.wantInfo(e.info(e.view("a")), want)
	e.reopen()
	e.wantInfo(e.info(e.view("a")), want)
	e.wantInfo(e.info(e.load("a")), want)

	partial := newInfo("partial", 5)
	partial.IsPartial = true
	e.createInfo(partial)
	e.wantInfo(e.info(e.view("partial")), partial)
}

func recordEmpty(e *env) {
	bare := tusd.FileInfo{ID: "bare", Size: 1} // like a record of tusd v2
	empty := newInfo("empty", 1)
	empty.MetaData, empty.PartialUploads = tusd.MetaData{}, []string{}
	for _, want := range []tusd.FileInfo{bare, empty} {
		e.createInfo(want)
		e.wantInfo(e.info(e.view(want.ID)), want)
	}
	e.reopen()
	for _, want := range []tusd.FileInfo{bare, empty} {
		e.wantInfo(e.info(e.view(want.ID)), want)
	}
}

func recordValues(e *env) {
	given := fullInfo("a")
	upload := e.createInfo(given)
	loaded := e.load("a")
	got, seen := e.info(upload), e.info(loaded)
	refused := errors.New("refused")
	for _, answer := range []error{refused, nil} {
		err := loaded.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
			changeShared(i)
			return answer
		})
		if !errors.Is(err, answer) {
			e.Errorf("UpdateInfo: %v, want %v", err, answer)
		}
		for _, info := range []tusd.FileInfo{given, got, seen} {
			e.wantInfo(info, fullInfo("a"))
		}
	}
	changed := fullInfo("a")
	changeShared(&changed)
	e.wantInfo(e.info(e.view("a")), changed)
}

// changeShared changes the contents of the maps, slices and pointers of info.
func changeShared(info *tusd.FileInfo) {
	clear(info.MetaData)
	*info.KnownLength = 40
	info.Digests[0].State[0], info.Digests[0].Sum[0], info.Digests[0].Want[0] = 'x', 'x', 'x'
	info.Digests[0].Algorithm = "sha-512"
	info.PartialUploads[0], info.Finals[0] = "x", "x"
	clear(info.Failure.Header)
	*info.Failure = tusd.Failure{StatusCode: 400}
}

// setCallerFields returns a change that sets the caller's fields to their values in from.
func setCallerFields(from tusd.FileInfo) func(*tusd.FileInfo) error {
	return func(to *tusd.FileInfo) error {
		copyCallerFields(to, from)
		return nil
	}
}

// copyCallerFields sets every field that the caller owns to its value in from.
func copyCallerFields(to *tusd.FileInfo, from tusd.FileInfo) {
	from.ID, from.Offset, from.Size, from.SizeIsDeferred, from.Storage, from.Changed = to.ID, to.Offset, to.Size, to.SizeIsDeferred, to.Storage, to.Changed
	*to = from
}

func updateEveryField(e *env) {
	upload := e.create("a", 30)
	want := fullInfo("a")
	e.must(upload.UpdateInfo(e.Context(), setCallerFields(want)))
	e.wantInfo(e.info(upload), want)
	e.wantInfo(e.info(e.view("a")), want)
	e.reopen()
	e.wantInfo(e.info(e.view("a")), want)

	bare := newInfo("a", 30)
	e.must(e.load("a").UpdateInfo(e.Context(), setCallerFields(bare)))
	e.reopen()
	e.wantInfo(e.info(e.view("a")), bare)
}

func updateError(e *env) {
	upload := e.createInfo(fullInfo("a"))
	refusal := errors.New("refused by the caller")
	err := upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		changeShared(i)
		i.State = tusd.StateFailed
		return refusal
	})
	e.wantError("UpdateInfo", err, refusal)
	e.wantInfo(e.info(upload), fullInfo("a"))
	e.wantInfo(e.info(e.view("a")), fullInfo("a"))
	e.reopen()
	e.wantInfo(e.info(e.view("a")), fullInfo("a"))
}

func updateStoreOwned(e *env) {
	upload := e.create("a", 30)
	e.write(upload, "a", 0, 12)
	before := e.info(upload)
	e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.ID, i.Offset, i.Size, i.SizeIsDeferred = "other", 29, 5, true
		i.Storage = map[string]string{"Type": "elsewhere"}
		i.State = tusd.StateUploading
		return nil
	}))
	for _, after := range []tusd.FileInfo{e.info(upload), e.info(e.view("a"))} {
		if after.ID != "a" || after.Offset != 12 || after.Size != 30 || after.SizeIsDeferred {
			e.Errorf("ID, Offset, Size, SizeIsDeferred are %s, %d, %d, %t", after.ID, after.Offset, after.Size, after.SizeIsDeferred)
		}
		if !maps.Equal(after.Storage, before.Storage) {
			e.Errorf("Storage is %v, was %v", after.Storage, before.Storage)
		}
		if after.State != tusd.StateUploading {
			e.Error("the rest of the change is missing")
		}
	}
	e.wantStored("a", 12)
}

func updateBesideData(e *env) {
	upload := e.create("a", 100)
	for offset := int64(0); offset < 100; offset += 25 {
		e.write(upload, "a", offset, offset+25)
		e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
			i.MetaData = tusd.MetaData{"offset": fmt.Sprint(offset)}
			return nil
		}))
		e.wantStored("a", offset+25)
	}
	e.reopen()
	e.wantStored("a", 100)
	if got := e.info(e.view("a")).MetaData; !reflect.DeepEqual(got, tusd.MetaData{"offset": "75"}) {
		e.Errorf("MetaData is %v", got)
	}
}

func updateCancelled(e *env) {
	old := fullInfo("a")
	e.createInfo(old)
	e.sweepCancel(func(ctx context.Context, look int) error {
		next := fullInfo("a")
		next.RawMetaData = fmt.Sprintf("look %d", look)
		err := e.load("a").UpdateInfo(ctx, setCallerFields(next))
		if got := e.info(e.view("a")); err == nil || got.RawMetaData == next.RawMetaData {
			old = next
		}
		e.wantInfo(e.info(e.view("a")), old)
		return err
	})
	e.reopen()
	e.wantInfo(e.info(e.view("a")), old)
}

func updateSeenThroughValue(e *env) {
	upload := e.create("a", 30)
	loaded := e.view("a")
	e.write(upload, "a", 0, 10)
	e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateFinishing
		return nil
	}))
	if got := e.info(upload); got.Offset != 10 || got.State != tusd.StateFinishing {
		e.Errorf("the value through which the changes went shows offset %d, state %q", got.Offset, got.State)
	}
	if got := e.info(loaded).State; got != "" {
		e.Errorf("a value loaded before shows state %q", got)
	}
}

func updateLarge(e *env) {
	upload := e.create("a", 30)
	want := newInfo("a", 30)
	want.RawMetaData = strings.Repeat("k", 16<<10)
	for i := range 2000 {
		want.PartialUploads = append(want.PartialUploads, fmt.Sprintf("partial-upload-%d", i))
	}
	e.must(upload.UpdateInfo(e.Context(), setCallerFields(want)))
	e.reopen()
	e.wantInfo(e.info(e.view("a")), want)
}

func updateChanged(e *env) {
	from := time.Now()
	upload := e.createInfo(fullInfo("a"))
	e.wantChanged("a", upload, from)
	e.waitSettleTime()
	e.waitSettleTime()
	from = time.Now()
	e.must(upload.UpdateInfo(e.Context(), func(*tusd.FileInfo) error { return nil }))
	e.wantChanged("a", upload, from)
	e.waitSettleTime()
	e.waitSettleTime()
	from = time.Now()
	e.must(upload.UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.Changed = time.Unix(1, 0) // ignored
		return nil
	}))
	e.wantChanged("a", upload, from)
	e.wantInfo(e.info(upload), fullInfo("a"))

	upload = e.create("written", 10)
	e.waitSettleTime()
	e.waitSettleTime()
	from = time.Now()
	e.write(upload, "written", 0, 5)
	e.wantChanged("written", upload, from)
	to := time.Now().Add(e.harness.SettleTime)
	e.waitSettleTime()
	e.waitSettleTime()
	e.reopen()
	if changed := e.info(e.load("written")).Changed; changed.After(to) {
		e.Errorf("a restart has changed the time of the last change: %v, want %v at the latest", changed, to)
	}
}

// wantChanged checks that the last change of an upload was between from and now, also as
// others see it. A store without a Lister need not know.
func (e *env) wantChanged(id string, upload tusd.Upload, from time.Time) {
	e.Helper()
	from, to := from.Add(-e.harness.SettleTime), time.Now().Add(e.harness.SettleTime)
	check := func(what string, info tusd.FileInfo) {
		e.Helper()
		if info.Changed.IsZero() && e.composer.Lister == nil {
			return
		}
		if info.Changed.Before(from) || info.Changed.After(to) {
			e.Errorf("%s: %s was changed at %v, want between %v and %v", what, id, info.Changed, from, to)
		}
	}
	check("through the changed value", e.info(upload))
	check("loaded", e.info(e.view(id)))
}
