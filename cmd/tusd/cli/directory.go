package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
)

// directory keeps uploads in files, and apart by the locks of the operating
// system.
type directory struct {
	store  *filestore.FileStore
	locker *filelocker.FileLocker
}

func newDirectory(s storage) (*directory, error) {
	dir, err := filepath.Abs(s.uploadDir) // the working directory may change; the uploads may not
	if err != nil {
		return nil, fmt.Errorf("upload directory: %w", err)
	}
	return &directory{
		store: &filestore.FileStore{
			Path: dir, Durability: s.durability, MinFree: s.minFree,
			FileKey: s.fileKey, StorageRoots: filepath.SplitList(s.storageRoots),
			DirPerm: s.dirPerms, FilePerm: s.filePerms,
		},
		locker: &filelocker.FileLocker{
			Path: dir, HolderPollInterval: s.lockHolderPoll, AcquirerPollInterval: s.lockAcquirerPoll,
		},
	}, nil
}

func (d *directory) close() error { return errors.Join(d.locker.Close(), d.store.Close()) }

func (d *directory) composer() *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	d.store.UseIn(composer)
	d.locker.UseIn(composer)
	return composer
}

func (d *directory) where() string {
	return fmt.Sprintf("%s (durability: %v)", d.store.Path, d.store.Durability)
}

// patience is none: what a directory lacks is for the operator, or for systemd,
// to bring about before the start.
func (d *directory) patience(error) time.Duration { return 0 }

func (d *directory) advised(err error) error { return advised(err, d.store.Path) }

func (d *directory) probes() []*probe { return probesFor(d.composer()) }

func (d *directory) collectors() []prometheus.Collector { return nil }
