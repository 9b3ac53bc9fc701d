package protocoltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// stored reads an upload's bytes out of the store, without the handler.
func (e *env) stored(target string) []byte {
	e.Helper()
	upload, err := e.config.StoreComposer.Core.GetUpload(e.Context(), nil, idOf(target))
	if err != nil {
		e.Fatalf("load %s from the store: %v", target, err)
	}
	reader, err := upload.GetReader(e.Context())
	if err != nil {
		e.Fatalf("read %s from the store: %v", target, err)
	}
	data, err := io.ReadAll(reader)
	if err := reader.Close(); err != nil {
		e.Errorf("close the reader of %s: %v", target, err)
	}
	if err != nil {
		e.Fatalf("read %s from the store: %v", target, err)
	}
	return data
}

// wantStored checks the stored bytes of an upload.
func (e *env) wantStored(target string, want []byte) {
	e.Helper()
	if got := e.stored(target); !bytes.Equal(got, want) {
		e.Errorf("%s has %s stored, want %s", target, digest(got), digest(want))
	}
}

// digest describes data in an error.
func digest(data []byte) string {
	return fmt.Sprintf("%d bytes (SHA-256 %.4x...)", len(data), sha256.Sum256(data))
}

// idOf returns the id of the upload at target.
func idOf(target string) string {
	id := strings.TrimPrefix(target, "/files/")
	if decoded, err := url.PathUnescape(id); err == nil {
		return decoded
	}
	return id
}

// recordOf returns the record of an upload from the store.
func recordOf(t *testing.T, store tusd.DataStore, target string) tusd.FileInfo {
	t.Helper()
	upload, err := store.GetUpload(t.Context(), nil, idOf(target))
	if err != nil {
		t.Fatalf("load %s from the store: %v", target, err)
	}
	info, err := upload.GetInfo(t.Context())
	if err != nil {
		t.Fatalf("read the record of %s: %v", target, err)
	}
	return info
}

// digestsOf returns the digests that the record of an upload keeps.
func (e *env) digestsOf(target string) []tusd.Digest {
	e.Helper()
	return recordOf(e.T, e.config.StoreComposer.Core, target).Digests
}

// sideRecords counts the side records of these kinds.
func sideRecords(t *testing.T, store tusd.SideRecords, kinds ...string) (n int) {
	t.Helper()
	for _, kind := range kinds {
		names, _, err := store.ListSideRecords(t.Context(), kind, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		n += len(names)
	}
	return n
}

// changeRecord changes the record of an upload without the handler.
func (e *env) changeRecord(target string, change func(*tusd.FileInfo)) {
	e.Helper()
	e.waitIdle()
	lease, err := (&tusd.LocalLocker{}).Lock(e.Context(), idOf(target), tusd.LockTry)
	if err != nil {
		e.Fatal(err)
	}
	defer func() { _ = lease.Unlock(context.Background()) }()
	upload, err := e.config.StoreComposer.Core.GetUpload(e.Context(), lease, idOf(target))
	if err != nil {
		e.Fatal(err)
	}
	err = upload.UpdateInfo(e.Context(), func(info *tusd.FileInfo) error {
		change(info)
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
}

// changeDigests changes the digests in a record to what a crash or an older server may have
// left.
func (e *env) changeDigests(target string, change func(*tusd.Digest)) {
	e.Helper()
	e.changeRecord(target, func(info *tusd.FileInfo) {
		for i := range info.Digests {
			change(&info.Digests[i])
		}
	})
}

// resetDigest makes a digest what it was when the upload was created.
func resetDigest(d *tusd.Digest) { *d = tusd.Digest{Algorithm: d.Algorithm, Want: d.Want} }

// fail marks an upload as failed in its record.
func (e *env) fail(target string) {
	e.Helper()
	e.changeRecord(target, func(info *tusd.FileInfo) {
		info.State, info.Failure = tusd.StateFailed, &tusd.Failure{Code: tusd.ErrUploadFailed.Code, StatusCode: 410}
	})
}

// removeFromStore removes an upload without the handler.
func removeFromStore(t *testing.T, store tusd.Terminater, target string) {
	t.Helper()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), idOf(target), tusd.LockTry)
	if err == nil {
		err = store.Terminate(t.Context(), lease, idOf(target))
	}
	if err != nil {
		t.Error(err)
	}
}

// removeSideRecords removes the side records of a kind.
func removeSideRecords(t *testing.T, store tusd.SideRecords, kind string) {
	t.Helper()
	names, _, err := store.ListSideRecords(t.Context(), kind, "", 1000)
	for _, name := range names {
		err = errors.Join(err, store.DeleteSideRecord(t.Context(), tusd.SideRecordKey{Kind: kind, Name: name}))
	}
	if err != nil {
		t.Fatal(err)
	}
}
