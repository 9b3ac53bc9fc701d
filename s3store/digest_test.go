package s3store_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/storetest"
)

// After a crash the state of the digest may cover fewer bytes than are stored.
// It is brought up to date only when the upload is full, because parts cannot be
// read. Until then, requests log no warning and make no calls for it.
func TestDigestBehindOffsetAfterCrash(t *testing.T) {
	for name, sizes := range map[string][3]int64{ // stored with the digest, stored before the crash, length
		"in parts": {2 * testPart, 3 * testPart, 4 * testPart}, "in tail objects": {100, 200, 300},
		"a tail behind parts": {2 * testPart, 2*testPart + 100, 2*testPart + 200},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logtest.Buffer)
			server := smallServer(t, s3server.Quirks{})
			store, locker := testStore(server.Bucket(), clientOf(t, server)), new(tusd.LocalLocker)
			composer := tusd.NewStoreComposer()
			store.UseIn(composer)
			composer.UseLocker(locker)
			n := startNodeWith(t, tusd.Config{StoreComposer: composer, Digest: "sha256", Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			path := n.create(sizes[2])
			n.patch(path, 0, sizes[0])
			writeWithoutDigest(t, store, locker, path[len("/files/"):], sizes[0], sizes[1])
			n.offset(path) // learns that the parts cannot be read
			server.Recount()
			const heads = 20
			for range heads {
				n.offset(path)
			}
			if calls := server.Counts().Total().Calls; calls > 2*heads {
				t.Errorf("%d requests make %d calls, want at most %d", heads, calls, 2*heads)
			}
			n.patch(path, sizes[1], sizes[2])
			want := sha256.New()
			content := make([]byte, sizes[2])
			storetest.Content("content", 0, content)
			want.Write(content)
			n.wantDigest(path, fmt.Sprintf("sha-256=:%s:", base64.StdEncoding.EncodeToString(want.Sum(nil))))
			if strings.Contains(log.String(), "digest") {
				t.Errorf("the log says\n%s", log)
			}
		})
	}
}

// writeWithoutDigest stores bytes like a server that is killed before it has
// written the state of the digest.
func writeWithoutDigest(t *testing.T, store tusd.DataStore, locker tusd.Locker, id string, from, to int64) {
	t.Helper()
	lease, err := locker.Lock(t.Context(), id, tusd.LockWait)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Unlock(t.Context())
	upload, err := store.GetUpload(t.Context(), lease, id)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := upload.WriteChunk(t.Context(), from, storetest.ContentReader("content", from, to)); err != nil || stored != to-from {
		t.Fatalf("stored %d bytes, %v", stored, err)
	}
}

func (n *node) wantDigest(path, want string) {
	n.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got := n.request(http.MethodHead, path, nil).Header.Get("Repr-Digest")
		if got == want {
			return
		}
		if got != "" || time.Now().After(deadline) {
			n.Fatalf("Repr-Digest is %q, want %q", got, want)
		}
	}
}
