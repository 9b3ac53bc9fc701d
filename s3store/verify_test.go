package s3store_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

func TestVerify(t *testing.T) {
	const large = 20 * testMinPart
	flip := func(v *inventory, key string) {
		content := mustObject(v, key)
		content[0] ^= 1
		v.server.Put(key, content)
	}
	for name, c := range map[string]struct {
		size, bytes int64
		damage      func(v *inventory)
		want        string // the fault contains it; "": there is none
	}{
		"new":               {size: 10},
		"tail":              {size: 10, bytes: 5},
		"parts":             {size: large, bytes: 3*testMinPart + 17},
		"complete":          {size: large, bytes: large},
		"complete in one":   {size: 10, bytes: 10},
		"empty":             {},
		"parts are aborted": {large, 3*testMinPart + 17, func(v *inventory) { v.server.AbortAll() }, "does not have the multipart upload"},
		"another part":      {large, 3*testMinPart + 17, func(v *inventory) { v.replacePart(0) }, "has the ETag"},
		"a part is larger":  {large, 3*testMinPart + 17, func(v *inventory) { v.replacePart(1) }, "bytes, and the record says"},
		"no data":           {large, large, func(v *inventory) { v.server.Remove("a") }, "data object a is missing"},
		"other data":        {large, large, func(v *inventory) { flip(v, "a") }, "not the data object of this upload"},
		"equal in size and proof": {large, large, func(v *inventory) {
			o, _ := v.server.Object("a")
			in := s3store.PutObject{Key: "a", Body: bytes.NewReader(make([]byte, large)), Size: large, Attributes: s3store.Attributes{Metadata: o.Metadata}}
			if _, err := clientOf(v.T, v.server).PutObject(v.Context(), in); err != nil {
				v.Fatal(err)
			}
		}, "and the record says"},
		"short data":          {large, large, func(v *inventory) { v.server.Put("a", []byte("short")) }, "has 5 bytes, and the length is"},
		"bytes of the tail":   {10, 5, func(v *inventory) { v.alter("a.00000000000000000000.part") }, "CRC-32C"},
		"bytes of the object": {10, 10, func(v *inventory) { v.alter("a") }, "CRC-32C"},
		"a broken record":     {10, 5, func(v *inventory) { v.server.Put("a.info", []byte(`{"ID":"a",`)) }, "broken"},
		"a lost object": {10, 10, func(v *inventory) {
			v.update("a", func(info *tusd.FileInfo) { info.State = tusd.StateComplete })
			v.server.Remove("a")
		}, "only 0 of 10 bytes"},
		"a lost object with a digest": {10, 10, func(v *inventory) {
			v.update("a", func(info *tusd.FileInfo) { info.Digests = []tusd.Digest{{Algorithm: "sha-256", Sum: []byte("sum")}} })
			v.server.Remove("a")
		}, "digest of all bytes, but only 0 of 10"},
		"a lost object that nothing tells of": {10, 10, func(v *inventory) { v.server.Remove("a") }, ""},
		"another object of the same size":     {10, 0, func(v *inventory) { v.server.Put("a", []byte("0123456789")) }, "the object a is not the data object"},
		"another object":                      {10, 5, func(v *inventory) { v.server.Put("a", []byte("other")) }, "the object a is not the data object"},
		"another object beside parts":         {large, 3 * testMinPart, func(v *inventory) { v.server.Put("a", nil) }, "the object a is not the data object"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newInventory(t, func(*s3store.Store) {})
			v.upload(tusd.FileInfo{ID: "a", Size: c.size}, c.bytes)
			if c.damage != nil {
				c.damage(v)
			}
			before := v.server.Left()
			v.server.Recount()
			faults, err := v.store.Verify(t.Context(), "a")
			if err != nil || (len(faults) > 0) != (c.want != "") || !strings.Contains(strings.Join(faults, "\n"), c.want) {
				t.Errorf("the faults are %q, %v, want %q", faults, err, c.want)
			}
			if after := v.server.Left(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("left is %q, before it was %q", after, before)
			}
		})
	}
}

// replacePart stores another first part, with that many bytes more.
func (v *inventory) replacePart(more int64) {
	v.Helper()
	u := v.server.Uploads()[0]
	size := u.Parts[0].Size + more
	_, err := clientOf(v.T, v.server).UploadPart(v.Context(), s3store.UploadPart{
		Key: u.Key, Multipart: u.ID, Number: u.Parts[0].Number, Body: bytes.NewReader(make([]byte, size)), Size: size,
	})
	if err != nil {
		v.Fatal(err)
	}
}

// alter flips a bit in all answers for an object.
func (v *inventory) alter(key string) {
	v.server.Fault(s3server.On(s3server.GetObject).And(func(c s3server.Call) bool { return c.Key == key }).Always(s3server.FlipBit()).Decide)
}

func TestVerifyWithoutUpload(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	if faults, err := v.store.Verify(t.Context(), "none"); len(faults) > 0 || !errors.Is(err, tusd.ErrNotFound) || errors.Is(err, tusd.ErrBroken) {
		t.Errorf("no upload: %q, %v", faults, err)
	}
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
	v.cut("a", 5)
	if faults, err := v.store.Verify(t.Context(), "a"); len(faults) > 0 || !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("half removed: %q, %v", faults, err)
	}
	v.upload(tusd.FileInfo{ID: "b", Size: 10}, 5)
	v.server.Fault(s3server.On(s3server.HeadObject).Always(s3server.Refuse(http.StatusForbidden, "AccessDenied")).Decide)
	if faults, err := v.store.Verify(t.Context(), "b"); len(faults) > 0 || err == nil || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("the service refuses: %q, %v", faults, err)
	}
}

// A change between the load and the look at the objects is no fault.
func TestVerifyBesideChanges(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	const size = 20 * testMinPart
	v.upload(tusd.FileInfo{ID: "a", Size: size}, 2*testMinPart)
	changed := false
	v.server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.ListParts && !changed {
			changed = true
			lease, unlock := v.lock("a")
			defer unlock()
			if err := v.store.Terminate(t.Context(), lease, "a"); err != nil {
				t.Error(err)
			}
		}
		return s3server.Outcome{}
	})
	if faults, err := v.store.Verify(t.Context(), "a"); len(faults) > 0 || !errors.Is(err, tusd.ErrNotFound) || !changed {
		t.Errorf("%q, %v", faults, err)
	}
}

// A tail object that a request moves into the data object meanwhile is no fault.
func TestVerifyBesideWrite(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 100}, 10)
	changed := false
	v.server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.HeadObject && strings.HasSuffix(c.Key, ".part") && !changed {
			changed = true
			lease, unlock := v.lock("a")
			defer unlock()
			u, err := v.store.GetUpload(t.Context(), lease, "a")
			if err == nil {
				_, err = u.WriteChunk(t.Context(), 10, storetest.ContentReader("a", 10, 100))
			}
			if err != nil {
				t.Error(err)
			}
		}
		return s3server.Outcome{}
	})
	if faults, err := v.store.Verify(t.Context(), "a"); len(faults) > 0 || err != nil || !changed {
		t.Errorf("%q, %v, changed %t", faults, err, changed)
	}
}

// An upload that is removed between the listing and the look at its data is no fault, and no
// failure.
func TestVerifyBesideRemoval(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 10)
	removed := false
	v.server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.HeadObject && !removed {
			removed = true
			lease, unlock := v.lock("a")
			defer unlock()
			if err := v.store.Terminate(t.Context(), lease, "a"); err != nil {
				t.Error(err)
			}
		}
		return s3server.Outcome{}
	})
	if faults, err := v.store.Verify(t.Context(), "a"); len(faults) > 0 || !errors.Is(err, tusd.ErrNotFound) || !removed {
		t.Errorf("%q, %v, removed %t", faults, err, removed)
	}
	v.server.Fault(nil)
	v.upload(tusd.FileInfo{ID: "b", Size: 10}, 10)
	v.server.Fault(s3server.On(s3server.HeadObject).Always(s3server.Refuse(http.StatusNotFound, "")).Decide)
	if faults, err := v.store.Verify(t.Context(), "b"); len(faults) > 0 || err == nil || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("behind a proxy: %q, %v", faults, err)
	}
}
