package s3store_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// made returns an id as the server makes them.
func made(n int) string { return fmt.Sprintf("%032x", n) }

// tidy tidies what is older than a day, and returns a line for each leftover, sorted.
func (v *inventory) tidy(change func(*tusd.Tidying)) (lines []string) {
	v.Helper()
	found, err := v.tidyAll(change)
	if err != nil {
		v.Fatal(err)
	}
	for _, l := range found {
		verb := "kept"
		if l.Removed {
			verb = "removed"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", l.Kind, l.Name, verb))
	}
	slices.Sort(lines)
	return lines
}

func (v *inventory) tidyAll(change func(*tusd.Tidying)) (found []tusd.Leftover, err error) {
	v.Helper()
	t := tusd.Tidying{
		Before: time.Now().Add(-24 * time.Hour),
		Lock:   func(ctx context.Context, id string) (tusd.Lease, error) { return v.locker.Lock(ctx, id, tusd.LockTry) },
		Pace:   func(ctx context.Context) error { return ctx.Err() },
		Report: func(l tusd.Leftover) { found = append(found, l) },
	}
	if change != nil {
		change(&t)
	}
	err = v.store.Tidy(v.Context(), t)
	return found, err
}

// cut removes an upload and ends the removal at its call number call.
func (v *inventory) cut(id string, call int) (wasCut bool) {
	v.Helper()
	v.server.Recount()
	rule := s3server.On().From(call, s3server.Refuse(http.StatusForbidden, "AccessDenied"))
	v.server.Fault(rule.Decide)
	lease, unlock := v.lock(id)
	err := v.store.Terminate(v.Context(), lease, id)
	unlock()
	v.server.Fault(nil)
	return err != nil
}

func TestTidy(t *testing.T) {
	const part = testMinPart
	for name, c := range map[string]struct {
		set  func(v *inventory)
		want []string // the leftovers
		left []string // what is left in the bucket, beside what was reported as kept
	}{
		"a tail object in a part": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10 * part}, 2*part)
				v.server.Put("a.00000000000000000007.part", []byte("in the first part"))
				v.server.Put(fmt.Sprintf("a.%020d.part", 2*part+5), []byte("behind a gap"))
			},
			want: []string{"multipart / (1, those of incomplete uploads included) kept", "tail a.00000000000000000007.part removed"},
			left: []string{fmt.Sprintf("a.%020d.part", 2*part+5), "a.info", "multipart upload of a"},
		},
		"a tail object of a complete upload": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10}, 10)
				v.server.Put("a.00000000000000000000.part", []byte("12345"))
			},
			want: []string{"tail a.00000000000000000000.part removed"},
			left: []string{"a", "a.info"},
		},
		"a tail object without a record": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a/b", Size: 10}, 5)
				v.server.Remove("a/b.info")
				v.server.Put("other.00000000000000000000.part", []byte("of another program"))
			},
			want: []string{"tail a/b.00000000000000000000.part removed"},
			left: []string{"other.00000000000000000000.part"},
		},
		"tails beside a broken record": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
				v.server.Put("a.info", []byte(`{"ID":"a","Si`))
			},
			want: []string{"broken a.info kept"},
			left: []string{"a.00000000000000000000.part", "a.info"},
		},
		"foreign records": {
			set: func(v *inventory) {
				v.server.Put("a.info", []byte("a text"))
				v.server.Put("b.info", []byte(`{"ID":"other"}`))
				v.server.Put("c.txt", []byte("a file"))
			},
			want: []string{"foreign a.info kept", "foreign b.info kept"},
			left: []string{"a.info", "b.info", "c.txt"},
		},
		"data without a record": {
			set: func(v *inventory) {
				v.server.Put(made(1), []byte("content"))
				v.server.Put(made(2), nil)
				v.server.Put("chosen", nil)
			},
			want: []string{"data " + made(1) + " kept", "data " + made(2) + " kept"},
			left: []string{made(1), made(2), "chosen"},
		},
		"an interrupted removal": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10 * part}, 2*part+5)
				v.cut("a", 5) // after the record was marked
			},
			want: []string{"broken a.info removed"},
		},
		"multipart uploads": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: made(1), Size: 10 * part}, 2*part)
				for _, key := range []string{made(1), made(2), "chosen"} {
					v.multipart(key)
				}
			},
			want: []string{"multipart / (4, those of incomplete uploads included) kept"},
			left: []string{made(1) + ".info", "multipart upload of " + made(1), "multipart upload of " + made(1), "multipart upload of " + made(2), "multipart upload of chosen"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newInventory(t, func(*s3store.Store) {})
			c.set(v)
			before := v.server.Left()
			if got := v.tidy(nil); len(got) > 0 {
				t.Errorf("young leftovers are reported: %q", got)
			}
			v.server.Age(25 * time.Hour)
			if got := v.tidy(func(t *tusd.Tidying) { t.DryRun = true }); !slices.Equal(got, c.want) {
				t.Errorf("a dry run reports %q, want %q", got, c.want)
			}
			kept := slices.DeleteFunc(slices.Clone(c.want), func(line string) bool { return strings.HasSuffix(line, " removed") })
			locked := func(t *tusd.Tidying) {
				t.Lock = func(context.Context, string) (tusd.Lease, error) { return nil, tusd.ErrUploadLocked }
			}
			if got := v.tidy(locked); !slices.Equal(got, kept) {
				t.Errorf("without a lock %q are reported, want %q", got, kept)
			}
			if got := v.server.Left(); !slices.Equal(got, before) {
				t.Errorf("young, dry or locked, what is left is %q, before it was %q", got, before)
			}
			if got := v.tidy(nil); !slices.Equal(got, c.want) {
				t.Errorf("reported is %q, want %q", got, c.want)
			}
			if got := v.server.Left(); !slices.Equal(got, c.left) {
				t.Errorf("left is %q, want %q", got, c.left)
			}
			if got := v.tidy(nil); !slices.Equal(got, kept) {
				t.Errorf("the second time %q is reported, want %q", got, kept)
			}
		})
	}
}

// multipart starts a multipart upload that no record names.
func (v *inventory) multipart(key string) {
	v.Helper()
	if _, err := clientOf(v.T, v.server).CreateMultipart(v.Context(), key, s3store.Attributes{}); err != nil {
		v.Fatal(err)
	}
}

// With SweepMultipart, multipart uploads are removed that certainly belong to no upload.
func TestSweepMultipart(t *testing.T) {
	v := newInventory(t, func(s *s3store.Store) {
		s.SweepMultipart, s.ObjectPrefix, s.Key = true, "ours", "raw/{date}/{id}/{filename}"
	})
	info := tusd.FileInfo{Size: 10 * testMinPart, Created: time.Now()}
	info.ID = made(1)
	v.upload(info, 2*testMinPart)
	info.ID, info.Storage = "chosen", map[string]string{"Key": "my/video"}
	v.upload(info, 2*testMinPart)
	info.ID, info.Storage = "elsewhere", map[string]string{"Key": "my/other"}
	v.upload(info, 0)
	info.ID, info.Storage = "own", map[string]string{"Key": "own"}
	v.upload(info, 2*testMinPart)
	date := info.Created.UTC().Format(time.DateOnly)
	for _, key := range []string{
		"ours/raw/" + date + "/" + made(1) + "/file", "ours/raw/2020-01-01/" + made(2) + "/x", "ours/" + made(3), "ours/own", // of no record
		"ours/unknown", "ours/elsewhere", "ours/raw/a/" + made(4), "ours/.tusd.d/probe", // nothing is known
		"theirs/" + made(5), "our" + made(6), // of another prefix
	} {
		v.multipart(key)
	}
	named := len(v.server.Uploads())
	v.server.Age(25 * time.Hour)
	v.multipart("ours/" + made(7)) // young
	want := []string{
		"multipart ours/" + made(3) + " removed",
		"multipart ours/.tusd.d/probe kept",
		"multipart ours/my/video kept",
		"multipart ours/elsewhere kept",
		"multipart ours/own removed",
		"multipart ours/raw/" + date + "/" + made(1) + "/file removed",
		"multipart ours/raw/2020-01-01/" + made(2) + "/x removed",
		"multipart ours/raw/a/" + made(4) + " kept",
		"multipart ours/unknown kept",
	}
	slices.Sort(want)
	if got := v.tidy(nil); !slices.Equal(got, want) {
		t.Errorf("reported is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := len(v.server.Uploads()); got != named+1-4 {
		t.Errorf("%d multipart uploads are left: %q", got, v.server.Left())
	}
	for _, id := range []string{made(1), "chosen", "own"} {
		if faults, err := v.store.Verify(t.Context(), id); len(faults) > 0 || err != nil {
			t.Errorf("%s: %q, %v", id, faults, err)
		}
	}
}

// Several pages of multipart uploads are removed at once.
func TestSweepManyMultiparts(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	v := newInventory(t, func(s *s3store.Store) { s.SweepMultipart = true })
	const many = 1003 // a page has 1000
	client := clientOf(t, v.server)
	for i := range many {
		if _, err := client.CreateMultipart(t.Context(), made(i), s3store.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	v.server.Age(25 * time.Hour)
	if got := v.tidy(nil); len(got) != many {
		t.Errorf("%d leftovers, want %d", len(got), many)
	}
	if left := v.server.Left(); len(left) > 0 {
		t.Errorf("%d are left", len(left))
	}
}

// Without the permission to list multipart uploads, everything else is tidied. With
// SweepMultipart that is an error.
func TestTidyWithoutListingMultiparts(t *testing.T) {
	for _, sweeps := range []bool{false, true} {
		v := newInventory(t, func(s *s3store.Store) { s.SweepMultipart = sweeps })
		v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
		v.server.Remove("a.info")
		v.server.Age(25 * time.Hour)
		v.server.Fault(s3server.On(s3server.ListMultipartUploads).Always(s3server.Refuse(http.StatusForbidden, "AccessDenied")).Decide)
		if _, err := v.tidyAll(nil); (err != nil) != sweeps {
			t.Errorf("with SweepMultipart %t: %v", sweeps, err)
		}
		if left := v.server.Left(); len(left) > 0 {
			t.Errorf("left is %q", left)
		}
	}
}

// Nothing of an upload that can be continued is removed, however long it has paused.
func TestTidyLeavesUploads(t *testing.T) {
	const large = 20 * testMinPart
	v := newInventory(t, func(s *s3store.Store) { s.SweepMultipart = true })
	v.upload(tusd.FileInfo{ID: made(1)}, 0)
	v.upload(tusd.FileInfo{ID: made(2), Size: 10}, 0)
	v.upload(tusd.FileInfo{ID: made(3), Size: 10}, 10)
	v.upload(tusd.FileInfo{ID: made(4), Size: large}, 3*testMinPart+17)
	v.upload(tusd.FileInfo{ID: made(5), Size: large}, large)
	v.upload(tusd.FileInfo{ID: made(6), SizeIsDeferred: true}, 17)
	v.upload(tusd.FileInfo{ID: made(7), Size: 10, Storage: map[string]string{"Key": "a/b"}}, 10)
	v.upload(tusd.FileInfo{ID: made(8), Size: large, Storage: map[string]string{"Key": "a/c"}}, 3*testMinPart)
	v.upload(tusd.FileInfo{ID: "chosen/id", Size: large, IsPartial: true}, 3*testMinPart+17)
	v.server.Age(1000 * time.Hour)
	before := v.server.Left()
	v.server.Recount()
	if got := v.tidy(nil); !slices.Equal(got, []string{"multipart a/c kept"}) {
		t.Errorf("leftovers: %q", got)
	}
	if got := v.server.Left(); !slices.Equal(got, before) {
		t.Errorf("left is %q, before it was %q", got, before)
	}
}

// A tail object stays if a record has its name, also one of tusd v2 for another id, and if
// only a proxy says that there is none.
func TestTidyLeavesTailBesideAnyRecord(t *testing.T) {
	f := newV2Upload(t, 100_000)
	v := &inventory{T: t, server: f.server, store: testStore(f.server.Bucket(), f.client)}
	v.store.SweepMultipart = true
	v.open(v.store)
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
	proof := s3store.Attributes{Metadata: map[string]string{"tusd-proof": "ours"}}
	tail := v2Object + ".00000000000000000000.part"
	if _, err := f.client.PutObject(t.Context(), s3store.PutObject{Key: tail, Body: strings.NewReader("x"), Size: 1, Attributes: proof}); err != nil {
		t.Fatal(err)
	}
	v.upload(tusd.FileInfo{ID: made(1), Size: 10 * testMinPart}, 2*testMinPart)
	var before []string
	for _, taken := range []bool{false, true} {
		if taken { // then this version has stored the record
			startOn(t, f.server).patch("/files/"+f.id, 0, 10)
		}
		v.server.Age(25 * time.Hour)
		before = v.server.Left()
		if got := v.tidy(nil); len(got) > 0 {
			t.Errorf("leftovers: %q", got)
		}
	}
	v.server.Fault(s3server.On(s3server.GetObject).Always(s3server.Refuse(http.StatusNotFound, "NotFound")).Decide)
	for _, l := range v.tidy(nil) {
		if strings.HasSuffix(l, " removed") {
			t.Errorf("behind a proxy: %s", l)
		}
	}
	if got := v.server.Left(); !slices.Equal(got, before) {
		t.Errorf("left is %q, before it was %q", got, before)
	}
}

// Tidy takes over nothing of tusd v2, and leaves tail objects of uploads that it has begun.
func TestTidyLeavesV2(t *testing.T) {
	f := newV2Upload(t, 500_000)
	f.part(1, 0, 50_000)
	f.tail(50_000, 50_010)
	v := &inventory{T: t, server: f.server, store: testStore(f.server.Bucket(), f.client)}
	v.store.SweepMultipart = true
	v.open(v.store)
	v.multipart(v2Object)
	for _, taken := range []bool{false, true} {
		if taken { // with a tail object of this program
			n := startOn(t, f.server)
			n.patch("/files/"+f.id, 50_010, 50_020)
			v.multipart(v2Object)
		}
		v.server.Age(1000 * time.Hour)
		left := len(v.server.Left())
		if got := v.tidy(nil); !slices.Equal(got, []string{"multipart " + v2Object + " removed"}) {
			t.Errorf("leftovers: %q", got)
		}
		if got := v.server.Left(); len(got) != left-1 {
			t.Errorf("left is %q", got)
		}
	}
	n := startOn(t, f.server)
	if at := n.offset("/files/" + f.id); at != 50_020 {
		t.Errorf("the offset is %d", at)
	}
}

// The records of uploads that this version has stored are not read, but one for an upload
// with tail objects, and one for a multipart upload that may be swept.
func TestCallsOfTidy(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	const uploads, paused, inParts = 700, 50, 30
	for _, c := range []struct {
		key    string
		sweeps bool
		calls  int // beside those that list
	}{
		{"", false, paused + inParts},
		{"", true, paused + 2*inParts},
		{"data/{id}/{filename}", false, 2*paused + inParts}, // the data of an upload without parts may be there
	} {
		v := newInventory(t, func(s *s3store.Store) { s.Key, s.SweepMultipart = c.key, c.sweeps })
		for i := range uploads {
			v.upload(tusd.FileInfo{ID: made(i), Size: 10}, int64(i%2*10))
		}
		for i := range paused {
			v.upload(tusd.FileInfo{ID: made(1000 + i), Size: 100}, 17)
		}
		for i := range inParts {
			v.upload(tusd.FileInfo{ID: made(2000 + i), Size: 20 * testMinPart}, 3*testMinPart)
			v.server.Put(fmt.Sprintf("%s.%020d.part", made(2000+i), 3*testMinPart), []byte("a tail"))
		}
		v.server.Age(1000 * time.Hour)
		v.server.Recount()
		want := []string{fmt.Sprintf("multipart / (%d, those of incomplete uploads included) kept", inParts)}
		if c.sweeps {
			want = nil
		}
		if got := v.tidy(nil); !slices.Equal(got, want) {
			t.Errorf("leftovers: %q, want %q", got, want)
		}
		counts := v.server.Counts()
		if lists := v.calls(s3server.ListObjectsV2); lists != 2 || counts.Total().Calls != c.calls+lists+1 {
			t.Errorf("%+v: calls: %v", c, counts)
		}
	}
}

// The data of an upload whose key a callback has chosen stays, also if it looks like data
// without a record.
func TestTidyLeavesChosenKeys(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Storage: map[string]string{"Key": made(1)}}, 0)
	v.server.Age(25 * time.Hour)
	if got, want := v.tidy(nil), []string{"data " + made(1) + " kept"}; !slices.Equal(got, want) {
		t.Errorf("leftovers: %q, want %q", got, want)
	}
	if left := v.server.Left(); !slices.Equal(left, []string{made(1), "a.info"}) {
		t.Errorf("left is %q", left)
	}
}

// A removal that ends at any call leaves no upload, and nothing that Tidy does not remove.
func TestCutRemovalIsTidied(t *testing.T) {
	require.Long(t)
	t.Parallel()
	const large = 20 * testMinPart
	for name, bytes := range map[string]int64{"empty": 0, "tail": 10, "parts": 3*testMinPart + 17, "complete": large} {
		for call := 1; ; call++ {
			v := newInventory(t, func(*s3store.Store) {})
			v.upload(tusd.FileInfo{ID: "a", Size: large}, bytes)
			wasCut := v.cut("a", call)
			v.server.Age(25 * time.Hour)
			listed := listPages(t, v.store, tusd.ListFilter{}, 10)
			if len(listed) > 0 && (listed[0].Record == nil || listed[0].Record.Offset != bytes) {
				t.Errorf("%s, cut at call %d: listed is %+v", name, call, listed[0])
			}
			v.tidy(nil)
			if left := v.server.Left(); len(listed) == 0 && len(left) > 0 {
				t.Errorf("%s, cut at call %d: left is %q", name, call, left)
			}
			if faults, err := v.store.Verify(t.Context(), "a"); len(listed) > 0 && (err != nil || len(faults) > 0) {
				t.Errorf("%s, cut at call %d: %q, %v", name, call, faults, err)
			}
			if !wasCut {
				break
			}
		}
	}
}

// After a removal that has ended between data and record, another upload may have its data
// under the same key. Neither Tidy nor a second removal takes that.
func TestCutRemovalWithSharedKey(t *testing.T) {
	const large = 20 * testMinPart // made of parts
	key := map[string]string{"Key": "bob/avatar.png"}
	shared := 0
	for call := 1; ; call++ {
		for _, again := range []func(*inventory){
			func(v *inventory) { v.server.Age(25 * time.Hour); v.tidy(nil) },
			func(v *inventory) { v.cut("a", 1000) },
		} {
			v := newInventory(t, func(*s3store.Store) {})
			v.upload(tusd.FileInfo{ID: "a", Size: large, Storage: key}, large)
			if !v.cut("a", call) {
				if shared == 0 {
					t.Error("no removal ended between data and record")
				}
				return
			}
			if _, ok := v.server.Object("bob/avatar.png"); ok {
				continue
			}
			shared++
			v.upload(tusd.FileInfo{ID: "b", Size: large, Storage: key}, large)
			again(v)
			if left := v.server.Left(); !slices.Equal(left, []string{"b.info", "bob/avatar.png"}) {
				t.Errorf("cut at call %d: left is %q", call, left)
			}
			if faults, err := v.store.Verify(t.Context(), "b"); len(faults) > 0 || err != nil {
				t.Errorf("cut at call %d: %q, %v", call, faults, err)
			}
		}
	}
}

// If Tidy ends at any call, the next one removes the rest, and uploads stay as they are.
func TestCutTidying(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	const large = 20 * testMinPart
	for call := 1; ; call++ {
		v := newInventory(t, func(s *s3store.Store) { s.SweepMultipart = true })
		v.upload(tusd.FileInfo{ID: "a", Size: large}, 3*testMinPart+17)
		v.upload(tusd.FileInfo{ID: "b", Size: large}, 3*testMinPart+17)
		v.upload(tusd.FileInfo{ID: "c", Size: large}, 17)
		left := v.server.Left()
		v.upload(tusd.FileInfo{ID: "d", Size: large}, 17)
		v.upload(tusd.FileInfo{ID: "e", Size: large}, 3*testMinPart+17)
		v.cut("e", 5)
		v.server.Remove("d.info")
		v.server.Put("a.00000000000000000000.part", []byte("in a part"))
		v.multipart("b")
		v.server.Age(25 * time.Hour)
		v.server.Recount()
		dead := s3server.On().From(call, s3server.RefuseDone(http.StatusForbidden, "AccessDenied"))
		v.server.Fault(dead.Decide)
		v.tidyAll(nil) // an error or not
		v.server.Fault(nil)
		v.tidy(nil)
		if got := v.server.Left(); !slices.Equal(got, left) {
			t.Errorf("cut at call %d: left is %q, want %q", call, got, left)
		}
		for _, id := range []string{"a", "b", "c"} {
			if faults, err := v.store.Verify(t.Context(), id); len(faults) > 0 || err != nil {
				t.Errorf("cut at call %d: %s: %q, %v", call, id, faults, err)
			}
		}
		if dead.Fired() == 0 {
			if call < 10 {
				t.Errorf("only %d calls", call)
			}
			return
		}
	}
}

// What a request does between the look without the lock and the one with it counts.
func TestTidyLooksAgain(t *testing.T) {
	for name, c := range map[string]struct{ set, change func(v *inventory) }{
		"the record is stored": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
				v.server.Put("saved", mustObject(v, "a.info"))
				v.server.Remove("a.info")
			},
			change: func(v *inventory) { v.server.Put("a.info", mustObject(v, "saved")) },
		},
		"the upload has changed": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10 * testMinPart}, 2*testMinPart)
				v.server.Put("a.00000000000000000000.part", []byte("in a part"))
			},
			change: func(v *inventory) { v.server.Put("a.info", mustObject(v, "a.info")) },
		},
		"another process removes": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
				v.cut("a", 5)
			},
			change: func(v *inventory) { v.server.Put("a.info", mustObject(v, "a.info")) },
		},
		"a record names the multipart upload": {
			set: func(v *inventory) {
				v.upload(tusd.FileInfo{ID: made(1), Size: 10 * testMinPart}, 2*testMinPart)
				v.server.Put("saved", mustObject(v, made(1)+".info"))
				v.server.Remove(made(1) + ".info")
			},
			change: func(v *inventory) { v.server.Put(made(1)+".info", mustObject(v, "saved")) },
		},
	} {
		v := newInventory(t, func(s *s3store.Store) { s.SweepMultipart = true })
		c.set(v)
		v.server.Age(25 * time.Hour)
		before := len(v.server.Left())
		locks := 0
		got := v.tidy(func(t *tusd.Tidying) {
			lock := t.Lock
			t.Lock = func(ctx context.Context, id string) (tusd.Lease, error) {
				locks++
				c.change(v)
				return lock(ctx, id)
			}
		})
		if left := v.server.Left(); len(got) > 0 || locks != 1 || len(left) < before {
			t.Errorf("%s: after %d locks %q is reported, left is %q", name, locks, got, left)
		}
	}
}

func mustObject(v *inventory, key string) []byte {
	v.Helper()
	o, ok := v.server.Object(key)
	if !ok {
		v.Fatalf("there is no %s", key)
	}
	return o.Bytes()
}

// Leftovers are told by what an operator sees.
func TestLeftoverOfTail(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
	v.server.Remove("a.info")
	v.server.Age(25 * time.Hour)
	found, err := v.tidyAll(nil)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	l := found[0]
	if l.Upload != "a" || l.Bytes != 5 || time.Since(l.Changed) < 24*time.Hour || !l.Removed || l.Err != nil {
		t.Errorf("reported is %+v", l)
	}
}
