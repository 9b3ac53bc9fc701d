package s3store_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
)

func TestKeyTemplate(t *testing.T) {
	for name, size := range map[string]int64{"one call": 1000, "parts": 3 * testPart} {
		t.Run(name, func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			store := testStore(server.Bucket(), clientOf(t, server))
			store.ObjectPrefix, store.Key = "uploads", "data/{date}/{id}/{filename}"
			n := startNode(t, store, &tusd.LocalLocker{})
			path := n.create(size, "Upload-Metadata", withMetadata("filename", "../Ein Bild.info"))
			id := path[len("/files/"):]
			n.patch(path, 0, size/2)
			n.patch(path, size/2, size)
			n.wantContent(path, size)
			if _, ok := server.Object("uploads/" + id + ".info"); !ok {
				t.Error("the key of the record is not the id")
			}
			isData := func(o s3server.Object) bool {
				return strings.HasPrefix(o.Key, "uploads/data/20") && strings.HasSuffix(o.Key, "/"+id+"/_Ein_Bild.info_")
			}
			if !slices.ContainsFunc(server.Objects(), isData) {
				t.Error("the key of the data does not match the template")
			}
			if len(server.Objects()) != 2 {
				t.Errorf("the bucket has %d objects, want 2", len(server.Objects()))
			}
			n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
			if left := leftovers(server, nil); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// A key that is too long for a file name is refused at creation if the service
// stores objects as files: the object is stored after the last acknowledgement.
func TestKeyTooLongForFiles(t *testing.T) {
	for _, quirks := range []s3server.Quirks{{}, s3server.Versity()} {
		server := smallServer(t, quirks)
		store := testStore(server.Bucket(), clientOf(t, server))
		store.Key = "{id}." + strings.Repeat("x", 130) + "{filename}" // 263 bytes with the longest name
		n := startNode(t, store, &tusd.LocalLocker{})
		long := withMetadata("filename", strings.Repeat("y", 200))
		if quirks.Files {
			answer := n.request(http.MethodPost, "/files/", nil, "Upload-Length", "200", "Upload-Metadata", long)
			n.want(http.StatusBadRequest, answer)
			if len(server.Objects()) > 0 {
				t.Error("something is stored")
			}
			long = withMetadata("filename", "short")
		}
		path := n.create(200, "Upload-Metadata", long)
		n.patch(path, 0, 100)
		n.patch(path, 100, 200)
		n.wantContent(path, 200)
	}
}

// Two ids of a callback can have the same key by the template. The second
// upload does not replace the first.
func TestKeyOfTwoIDs(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store, locker := testStore(server.Bucket(), clientOf(t, server)), new(tusd.LocalLocker)
	store.Key = "{id}{filename}"
	if err := store.Open(t.Context(), tusd.Env{Locker: locker}); err != nil {
		t.Fatal(err)
	}
	create := func(id, name string) (tusd.Upload, error) {
		lease, err := locker.Lock(t.Context(), id, tusd.LockTry)
		if err != nil {
			t.Fatal(err)
		}
		upload, err := store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: id, Size: 1, MetaData: tusd.MetaData{"filename": name}})
		if err != nil {
			lease.Unlock(t.Context())
		}
		return upload, err
	}
	first, err := create("a", "bx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.WriteChunk(t.Context(), 0, strings.NewReader("1")); err != nil {
		t.Fatal(err)
	}
	if err := first.FinishUpload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := create("ab", "x"); !errors.Is(err, tusd.ErrInvalidName) {
		t.Errorf("another id with the same key: %v", err)
	}
	if _, err := create("ab", "y"); err != nil {
		t.Errorf("another key: %v", err)
	}
}

func TestKeyTemplateWithoutID(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Key = "{date}/{filename}"
	err := store.Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}})
	if err == nil || !strings.Contains(err.Error(), "{id}") {
		t.Errorf("the error is %v", err)
	}
}

// The key of a hook is refused if an object has it or may get it later.
func TestKeyOfHook(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	locker := new(tusd.LocalLocker)
	if err := store.Open(t.Context(), tusd.Env{Locker: locker}); err != nil {
		t.Fatal(err)
	}
	create := func(id, key string) error {
		lease, err := locker.Lock(t.Context(), id, tusd.LockTry)
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Unlock(t.Context())
		_, err = store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: id, Size: 1, Storage: map[string]string{"Key": key}})
		return err
	}
	server.Put("taken", []byte("x"))
	if err := create("a", "free"); err != nil {
		t.Errorf("a free key: %v", err)
	}
	for key, want := range map[string]error{
		"taken": tusd.ErrInvalidName, "a": tusd.ErrInvalidName,
		"a.info": tusd.ErrInvalidName, "x/../y": tusd.ErrInvalidName, ".tusd.d/x": tusd.ErrInvalidName,
		"x//y": tusd.ErrInvalidName, "/x": tusd.ErrInvalidName, "x/": tusd.ErrInvalidName, ".": tusd.ErrInvalidName,
		"x\x01": tusd.ErrInvalidName, "x\ny": tusd.ErrInvalidName, "\xff": tusd.ErrInvalidName, strings.Repeat("x", 1025): tusd.ErrInvalidName,
	} {
		if err := create("b", key); !errors.Is(err, want) {
			t.Errorf("key %s: error %v, want %v", key, err, want)
		}
	}
	if err := create("a", "taken"); !errors.Is(err, tusd.ErrUploadExists) {
		t.Errorf("an id that exists: %v, want %v", err, tusd.ErrUploadExists)
	}
}

// File names keep combining marks, in the key and in Content-Disposition.
func TestFilenamesKeepCombiningMarks(t *testing.T) {
	for name, want := range map[string][2]string{
		"हिन्दी.txt":         {"हिन्दी.txt", `"______.txt"; filename*=UTF-8''%E0%A4%B9%E0%A4%BF%E0%A4%A8%E0%A5%8D%E0%A4%A6%E0%A5%80.txt`},
		"e\u0301.txt":        {"e\u0301.txt", `"e_.txt"; filename*=UTF-8''e%CC%81.txt`},
		"photo\u202egpj.exe": {"photo_gpj.exe", `"photo_gpj.exe"`},
		"\u2066a\u2069":      {"_a_", `"_a_"`},
	} {
		server := smallServer(t, s3server.Quirks{})
		store := testStore(server.Bucket(), clientOf(t, server))
		store.Key = "{id}/{filename}"
		n := startNode(t, store, &tusd.LocalLocker{})
		path := n.create(100, "Upload-Metadata", withMetadata("filename", name))
		n.patch(path, 0, 100)
		o, ok := server.Object(path[len("/files/"):] + "/" + want[0])
		if got := o.Header.Get("Content-Disposition"); !ok || got != "attachment; filename="+want[1] {
			t.Errorf("%+q: there is an object: %t, its disposition is %s", name, ok, got)
		}
	}
}
