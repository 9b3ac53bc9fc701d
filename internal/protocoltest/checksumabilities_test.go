package protocoltest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// A start removes the spooled chunks of a killed server, and no other file.
func TestSpoolIsSwept(t *testing.T) {
	dir := t.TempDir()
	stays := []string{"tusd-checksum-", "tusd-checksum-1a", "tusd-checksum-12.txt", "tusd-checksum", "mine-tusd-checksum-1", "tusd-checksum-9/file"}
	for _, name := range append(stays, "tusd-checksum-123", "tusd-checksum-4294967295") {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	config := tusd.Config{StoreComposer: tusd.NewStoreComposer(), ChecksumSpool: dir}
	storetest.NewMemory().UseIn(config.StoreComposer)
	offline := config
	offline.Offline = true
	tool, err := tusd.NewHandler(offline)
	if err != nil {
		t.Fatal(err)
	}
	tool.Shutdown(t.Context())
	if _, err := os.Stat(filepath.Join(dir, "tusd-checksum-123")); err != nil {
		t.Errorf("a tool has removed a file of the server: %v", err)
	}
	handler, err := tusd.NewHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Shutdown(t.Context())
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := []string{"mine-tusd-checksum-1", "tusd-checksum", "tusd-checksum-", "tusd-checksum-12.txt", "tusd-checksum-1a", "tusd-checksum-9"}
	if !slices.Equal(names, want) {
		t.Errorf("left: %q, want %q", names, want)
	}
}

func TestChecksumAbilities(t *testing.T) {
	run(t, []scenario{
		{"unsupported", "a store that cannot roll chunks back refuses checksums and offers none, unless there is a spool", checksumUnsupported},
		{"disabled", "checksums can be switched off", checksumDisabled},
		{"spool_size", "a spooled chunk is limited, declared or not", checksumSpoolSize},
		{"spool_gone", "a spool that cannot be written is a transient error", checksumSpoolGone},
		{"spool_full_store", "a full store may keep a part of a verified chunk", checksumFullStore},
	})
}

func checksumUnsupported(e *env) {
	e.config.DisableIETF = false
	e.config.StoreComposer.AtomicWriter = nil
	a := e.options("/files/").without("Tus-Checksum-Algorithm")
	if strings.Contains(a.Header.Get("Tus-Extension"), "checksum") {
		e.Errorf("Tus-Extension %q", a.Header.Get("Tus-Extension"))
	}
	u := e.create(100)
	for _, right := range []string{checksum("sha1", content(100)), checksum("sha1", nil)} {
		if a := e.patch(u, 0, content(100), right).status(400).code("ERR_INVALID_CHECKSUM"); !strings.Contains(string(a.Body), "offered") {
			e.Errorf("the refusal says %q, not that checksums are not offered", a.Body)
		}
	}
	e.patchWithTrailer(u, 0, content(100), []string{announcedTrailer}, checksum("sha1", content(100))).status(400)
	e.wantOffset(u, 0)
	d := e.ietf(9) // RFC 9530 lets a recipient ignore what it cannot verify
	d.append(d.begin(), 0, true, content(10), field9530("Content-Digest", "sha-256", content(10))).status(204)
}

func checksumDisabled(e *env) {
	e.config.DisableChecksum = true
	e.options("/files/").without("Tus-Checksum-Algorithm")
	u := e.create(100)
	e.patch(u, 0, content(100), checksum("sha1", content(100))).status(400)
	e.wantOffset(u, 0)
}

func checksumSpoolSize(e *env) {
	e.config.StoreComposer.AtomicWriter = nil
	e.config.ChecksumSpool, e.config.ChecksumSpoolSize = e.TempDir(), 100
	for _, framing := range []string{"X: y", chunked} {
		u := e.create(1000)
		e.patch(u, 0, content(101), checksum("sha1", content(101)), framing).status(413).code("ERR_CHECKSUM_TOO_LARGE")
		e.wantOffset(u, 0)
		e.patch(u, 0, content(100), checksum("sha1", content(100)), framing).status(204)
		e.patch(u, 100, content(500)).status(204)
	}
}

func checksumSpoolGone(e *env) {
	e.config.StoreComposer.AtomicWriter = nil
	e.config.ChecksumSpool = e.TempDir() + "/not/there"
	u := e.create(100)
	e.patch(u, 0, content(100), checksum("sha1", content(100))).status(500).header("Retry-After", "1")
	e.wantOffset(u, 0)
	e.patch(u, 0, content(100)).status(204)
}

func checksumFullStore(e *env) {
	small := &smallStore{DataStore: e.config.StoreComposer.Core, space: 40}
	e.config.StoreComposer.Core, e.config.StoreComposer.AtomicWriter = small, nil
	e.config.ChecksumSpool = e.TempDir()
	u := e.create(100)
	e.patch(u, 0, content(100), checksum("sha1", content(100))).status(507)
	e.wantOffset(u, 40)
	e.wantStored(u, content(40))
	small.space = 1000
	e.patch(u, 40, content(100)[40:], checksum("sha1", content(100)[40:])).status(204)
	e.wantStored(u, content(100))
}

// A chunk that arrives slowly and goes to the spool keeps its upload young.
func TestSpooledChunkKeepsItsUploadYoung(t *testing.T) {
	memory := storetest.NewMemory()
	e := newEnvOn(t, memory, tusd.Config{ChecksumSpool: t.TempDir()})
	e.config.StoreComposer.AtomicWriter = nil
	e.start()
	path := e.create(10)
	old := time.Now().Add(-24 * time.Hour)
	patch := e.another().open(path, 0, 10, checksum("sha1", []byte("helloworld")))
	if err := memory.SetChanged(idOf(path), old); err != nil {
		t.Fatal(err)
	}
	patch.sendAndSee([]byte("he"))
	if changed := recordOf(t, memory, path).Changed; !changed.Equal(old) {
		t.Errorf("the upload was changed at %v, before the time for it", changed)
	}
	e.ahead.Store(int64(40 * time.Minute))
	patch.send([]byte("llo"))
	e.eventually("the upload is changed", func() bool { return recordOf(t, memory, path).Changed.After(old) })
	patch.send([]byte("world"))
	patch.answer().status(204)
	e.wantOffset(path, 10)
}
