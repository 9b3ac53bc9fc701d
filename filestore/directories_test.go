package filestore

import (
	"sync"
	"testing"

	"github.com/tus/tusd"
)

// Creations succeed while other uploads' directories are created and removed.
func TestDirectoriesUnderConcurrency(t *testing.T) {
	s := openStore(t, None)
	var wg sync.WaitGroup
	for _, id := range []string{"d/e/1", "d/e/2", "d/3"} {
		wg.Go(func() {
			for range 200 {
				lease := lockID(t, id)
				if _, err := s.NewUpload(t.Context(), lease, tusd.FileInfo{ID: id, Size: 1}); err != nil {
					t.Error(err)
					return
				}
				if err := s.Terminate(t.Context(), lease, id); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantFiles(t, s)
}
