package s3store_test

import (
	"errors"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
)

// A record that no version of tusd can have written is no upload. It stays, with the object
// beside it.
func TestForeignRecords(t *testing.T) {
	for name, content := range map[string]string{
		"text":           "This is x.info",
		"JSON":           `{"name":"pkg"}`,
		"empty object":   "{}",
		"cut JSON":       `{"name":"pk`,
		"another upload": `{"ID":"y","Size":5}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newInventory(t, func(*s3store.Store) {})
			v.server.Put("x", []byte("hello"))
			v.server.Put("x.info", []byte(content))
			lease, unlock := v.lock("x")
			defer unlock()
			if _, err := v.store.GetUpload(v.Context(), lease, "x"); !errors.Is(err, tusd.ErrNotFound) || errors.Is(err, tusd.ErrBroken) {
				t.Errorf("GetUpload gives %v, want ErrNotFound", err)
			}
			if err := v.store.Terminate(v.Context(), lease, "x"); !errors.Is(err, tusd.ErrNotFound) {
				t.Errorf("Terminate gives %v, want ErrNotFound", err)
			}
			for key, want := range map[string]string{"x": "hello", "x.info": content} {
				if object, ok := v.server.Object(key); !ok || string(object.Bytes()) != want {
					t.Errorf("the object %s is there: %t", key, ok)
				}
			}
		})
	}
}

// A record of ours that is cut short is a broken upload, which can be removed.
func TestCutRecords(t *testing.T) {
	for _, content := range []string{"", `{"I`, `{"ID":"x","Si`, `{ "ID" : "x", "Size":`} {
		v := newInventory(t, func(*s3store.Store) {})
		v.server.Put("x.info", []byte(content))
		lease, unlock := v.lock("x")
		if _, err := v.store.GetUpload(v.Context(), lease, "x"); !errors.Is(err, tusd.ErrBroken) {
			t.Errorf("%q: GetUpload gives %v, want ErrBroken", content, err)
		}
		if err := v.store.Terminate(v.Context(), lease, "x"); err != nil {
			t.Errorf("%q: Terminate gives %v", content, err)
		}
		if _, there := v.server.Object("x.info"); there {
			t.Errorf("%q: the record is left", content)
		}
		unlock()
	}
}
