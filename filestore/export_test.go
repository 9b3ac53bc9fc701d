package filestore

import (
	"context"
	"fmt"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// WriteUntilRename writes a side record into a shared directory and blocks before the
// temporary file is renamed.
func WriteUntilRename(dir string) {
	s := New(dir)
	s.hook = func(op durable.Op, _ string, _ bool) error {
		if op == durable.OpRename {
			fmt.Println("stopped")
			select {}
		}
		return nil
	}
	err := s.Open(context.Background(), tusd.Env{Locker: machineLocker{}})
	if err == nil {
		err = s.PutSideRecord(context.Background(), tusd.SideRecordKey{Kind: "kind", Name: "name"}, []byte("value"))
	}
	fmt.Println("not stopped:", err)
}

// OpenShared opens a directory that other processes use.
func OpenShared(t *testing.T, dir string) *FileStore {
	t.Helper()
	s := New(dir)
	if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
		t.Fatal(err)
	}
	return s
}
