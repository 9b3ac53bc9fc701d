package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tbrecord"
)

// brokenHarness returns the harness of a Memory whose composer is changed by breakIt.
func brokenHarness(breakIt func(m *Memory, c *tusd.StoreComposer)) Harness {
	h := memoryHarness()
	var memory *Memory // of the composer in use
	h.New = func(testing.TB) *tusd.StoreComposer {
		memory = NewMemory()
		c := newComposer(memory)
		breakIt(memory, c)
		return c
	}
	h.Reopen = func(testing.TB, *tusd.StoreComposer) *tusd.StoreComposer {
		memory = memory.Reopen()
		c := newComposer(memory)
		breakIt(memory, c)
		return c
	}
	h.Leftovers = nil
	h.Break = func(_ testing.TB, _ *tusd.StoreComposer, id string) { memory.breakRecord(id) }
	h.Leave = func(testing.TB, *tusd.StoreComposer) { memory.leaveSome() }
	return h
}

// brokenStore is a store with a replaced method.
type brokenStore struct {
	*Memory
	newUpload func(context.Context, tusd.Lease, tusd.FileInfo) (tusd.Upload, error)
	wrap      func(tusd.Upload) tusd.Upload
}

func (s brokenStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	create := s.Memory.NewUpload
	if s.newUpload != nil {
		create = s.newUpload
	}
	return s.wrapped(create(ctx, lease, info))
}

func (s brokenStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	return s.wrapped(s.Memory.GetUpload(ctx, lease, id))
}

func (s brokenStore) wrapped(u tusd.Upload, err error) (tusd.Upload, error) {
	if err != nil || s.wrap == nil {
		return u, err
	}
	return s.wrap(u), nil
}

// brokenUpload is an upload with a replaced method.
type brokenUpload struct {
	*memoryUpload
	writeChunk func(ctx context.Context, offset int64, src io.Reader) (int64, error)
	updateInfo func(ctx context.Context, change func(*tusd.FileInfo) error) error
	getInfo    func(ctx context.Context) (tusd.FileInfo, error)
	durable    func(ctx context.Context) error
	finish     func(ctx context.Context) error
	getReader  func(ctx context.Context) (io.ReadCloser, error)
}

func (u *brokenUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	if u.writeChunk != nil {
		return u.writeChunk(ctx, offset, src)
	}
	return u.memoryUpload.WriteChunk(ctx, offset, src)
}

func (u *brokenUpload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	if u.updateInfo != nil {
		return u.updateInfo(ctx, change)
	}
	return u.memoryUpload.UpdateInfo(ctx, change)
}

func (u *brokenUpload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	if u.getInfo != nil {
		return u.getInfo(ctx)
	}
	return u.memoryUpload.GetInfo(ctx)
}

func (u *brokenUpload) MakeDurable(ctx context.Context) error {
	if u.durable != nil {
		return u.durable(ctx)
	}
	return u.memoryUpload.MakeDurable(ctx)
}

func (u *brokenUpload) FinishUpload(ctx context.Context) error {
	if u.finish != nil {
		return u.finish(ctx)
	}
	return u.memoryUpload.FinishUpload(ctx)
}

func (u *brokenUpload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	if u.getReader != nil {
		return u.getReader(ctx)
	}
	return u.memoryUpload.GetReader(ctx)
}

// onUploads returns a function that breaks every upload of a store.
func onUploads(breakIt func(u *brokenUpload)) func(*Memory, *tusd.StoreComposer) {
	return func(m *Memory, c *tusd.StoreComposer) {
		c.Core = brokenStore{Memory: m, wrap: func(u tusd.Upload) tusd.Upload {
			b := &brokenUpload{memoryUpload: u.(*memoryUpload)}
			breakIt(b)
			return b
		}}
	}
}

// TestBrokenStoresAreFound runs named cases on stores that each violate one sentence of
// the contract.
func TestBrokenStoresAreFound(t *testing.T) {
	for _, b := range slices.Concat(brokenStores, brokenAbilities) {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			failed, log := tbrecord.Run(t, func(tb testing.TB) {
				runCase(tb, brokenHarness(b.breakIt), caseNamed(t, b.found))
			})
			if !failed {
				t.Errorf("case %s passes on a store that %s", b.found, b.name)
			}
			if !strings.Contains(log, "against the contract of package tusd: ") {
				t.Errorf("the failure does not name the rule of the contract:\n%s", log)
			}
		})
	}
}

// TestUnbrokenStorePasses is the control: the wrapper of the broken stores passes. For
// broken abilities the control is TestMemory.
func TestUnbrokenStorePasses(t *testing.T) {
	unbroken := brokenHarness(func(m *Memory, c *tusd.StoreComposer) {
		onUploads(func(*brokenUpload) {})(m, c)
		*c = tusd.StoreComposer{Core: c.Core} // abilities accept only uploads of Memory itself
	})
	for _, b := range brokenStores {
		c := caseNamed(t, b.found)
		t.Run(c.name, func(t *testing.T) { runCase(t, unbroken, c) })
	}
}

func caseNamed(t *testing.T, name string) testCase {
	for _, c := range suite() {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case is called %s", name)
	return testCase{}
}

// broken is a store with one fault, and the case that finds it.
type broken struct {
	name, found string
	breakIt     func(*Memory, *tusd.StoreComposer)
}

var brokenStores = []broken{
	{"acknowledges more than it stores", "write/source-fails", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			n, err := u.memoryUpload.WriteChunk(ctx, offset, src)
			return n + 1, err
		}
	})},
	{"drops the bytes before the source failed", "write/source-fails", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			chunk, err := io.ReadAll(src)
			if err != nil {
				return 0, err
			}
			return u.memoryUpload.WriteChunk(ctx, offset, bytes.NewReader(chunk))
		}
	})},
	{"hides the error of the source", "write/source-fails-at-once", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			n, _ := u.memoryUpload.WriteChunk(ctx, offset, src)
			return n, nil
		}
	})},
	{"replaces the error of the source", "write/source-fails", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			n, err := u.memoryUpload.WriteChunk(ctx, offset, src)
			if err != nil {
				err = fmt.Errorf("write: %v", err)
			}
			return n, err
		}
	})},
	{"writes on after ctx has ended", "write/ctx-ends", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			return u.memoryUpload.WriteChunk(context.WithoutCancel(ctx), offset, src)
		}
	})},
	{"writes on after the lease is lost", "write/lease-lost", onUploads(ignoreLease)},
	{"changes records after the lease is lost", "lease/lost-before", onUploads(ignoreLease)},
	{"does not tell that it has stored bytes", "update/changed", onUploads(func(u *brokenUpload) {
		loaded := time.Now()
		u.getInfo = func(ctx context.Context) (tusd.FileInfo, error) {
			info, err := u.memoryUpload.GetInfo(ctx)
			info.Changed = loaded
			return info, err
		}
	})},
	{"refuses an empty chunk", "write/empty", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			n, err := u.memoryUpload.WriteChunk(ctx, offset, src)
			if n == 0 && err == nil {
				err = errors.New("nothing to write")
			}
			return n, err
		}
	})},
	{"reads the source in the background", "write/source-after-return", onUploads(func(u *brokenUpload) {
		u.writeChunk = func(ctx context.Context, offset int64, src io.Reader) (int64, error) {
			n, err := u.memoryUpload.WriteChunk(ctx, offset, src)
			if g, ok := src.(*guardedSource); ok {
				defer g.Read(make([]byte, 1))
				g.close()
			}
			return n, err
		}
	})},
	{"shows the offset of the record", "write/offset-from-data", onUploads(func(u *brokenUpload) {
		u.getInfo = func(ctx context.Context) (tusd.FileInfo, error) {
			info, err := u.memoryUpload.GetInfo(ctx)
			info.Offset = max(info.Offset, 99)
			return info, err
		}
	})},
	{"cuts an upload off to make it durable", "durable/changes-nothing", onUploads(func(u *brokenUpload) {
		u.durable = func(context.Context) error {
			u.info.Offset = min(u.info.Offset, 39)
			return nil
		}
	})},
	{"makes an upload durable once only", "durable/again", onUploads(func(u *brokenUpload) {
		tried := false
		u.durable = func(context.Context) error {
			if tried {
				return errors.New("tried before")
			}
			tried = true
			return nil
		}
	})},
	{"needs a lease to make an upload durable", "load/no-lease", onUploads(func(u *brokenUpload) {
		u.durable = func(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }
	})},
	{"omits a field of the record", "record/round-trip", onUploads(func(u *brokenUpload) {
		u.getInfo = func(ctx context.Context) (tusd.FileInfo, error) {
			info, err := u.memoryUpload.GetInfo(ctx)
			info.RawConcat = ""
			return info, err
		}
	})},
	{"changes a record that it has returned", "record/values", onUploads(func(u *brokenUpload) {
		var returned tusd.FileInfo
		u.getInfo = func(ctx context.Context) (info tusd.FileInfo, err error) {
			returned, err = u.memoryUpload.GetInfo(ctx)
			return returned, err
		}
		u.updateInfo = func(ctx context.Context, change func(*tusd.FileInfo) error) error {
			return u.memoryUpload.UpdateInfo(ctx, func(i *tusd.FileInfo) error {
				*i = returned
				return change(i)
			})
		}
	})},
	{"changes the record although change failed", "update/error", onUploads(func(u *brokenUpload) {
		u.updateInfo = func(ctx context.Context, change func(*tusd.FileInfo) error) error {
			var refused error
			err := u.memoryUpload.UpdateInfo(ctx, func(i *tusd.FileInfo) error {
				refused = change(i)
				return nil
			})
			return errors.Join(refused, err)
		}
	})},
	{"swallows the error of change", "update/error", onUploads(func(u *brokenUpload) {
		u.updateInfo = func(ctx context.Context, change func(*tusd.FileInfo) error) error {
			u.memoryUpload.UpdateInfo(ctx, change)
			return nil
		}
	})},
	{"lets change move the size", "update/store-owned", onUploads(func(u *brokenUpload) {
		u.updateInfo = func(_ context.Context, change func(*tusd.FileInfo) error) error {
			info := u.info
			if err := change(&info); err != nil {
				return err
			}
			return u.storeInfo(info, true)
		}
	})},
	{"finishes once only", "finish/idempotent", onUploads(func(u *brokenUpload) {
		u.finish = func(ctx context.Context) error {
			err := u.memoryUpload.UpdateInfo(ctx, func(i *tusd.FileInfo) error {
				if i.RawConcat == "finished" {
					return errors.New("finished before")
				}
				i.RawConcat = "finished"
				return nil
			})
			return errors.Join(err, u.memoryUpload.FinishUpload(ctx))
		}
	})},
	{"reads one byte too few", "read/up-to-offset", onUploads(func(u *brokenUpload) {
		u.getReader = func(ctx context.Context) (io.ReadCloser, error) {
			all := u.store.uploads[u.id].data
			return io.NopCloser(io.NewSectionReader(all, 0, all.size()-1)), nil
		}
	})},
	{"seeks nowhere", "read/seek", onUploads(func(u *brokenUpload) {
		u.getReader = func(context.Context) (io.ReadCloser, error) {
			all := u.store.uploads[u.id].data
			return struct {
				io.ReadCloser
				io.Seeker
			}{io.NopCloser(all.reader()), all.reader()}, nil
		}
	})},
	{"empties an upload that exists", "create/exclusive", func(m *Memory, c *tusd.StoreComposer) {
		c.Core = brokenStore{Memory: m, newUpload: func(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
			delete(m.uploads, info.ID)
			return m.NewUpload(ctx, lease, info)
		}}
	}},
	{"leaves an upload after a cancelled creation", "create/cancelled", func(m *Memory, c *tusd.StoreComposer) {
		c.Core = brokenStore{Memory: m, newUpload: func(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
			if _, err := m.NewUpload(context.WithoutCancel(ctx), lease, info); err != nil {
				return nil, err
			}
			return m.GetUpload(ctx, lease, info.ID)
		}}
	}},
	{"loses the tail when it is opened", "write/32-bytes-and-restart", func(m *Memory, _ *tusd.StoreComposer) {
		for _, e := range m.uploads {
			if n := len(e.data); n > 0 && len(e.data[n-1].data) > 0 {
				last := &e.data[n-1]
				last.data = last.data[:len(last.data)-1]
			}
		}
	}},
	{"accepts changes without a lease", "load/no-lease", func(m *Memory, c *tusd.StoreComposer) {
		c.Core = leaselessStore{m}
	}},
	{"answers an absent upload with another error", "load/not-found", func(m *Memory, c *tusd.StoreComposer) {
		c.Core = vagueStore{m}
	}},
}

func ignoreLease(u *brokenUpload) {
	if u.lease != nil {
		u.lease = u.lease.(*losableLease).Lease
	}
}

// leaselessStore locks the upload itself if it gets no lease.
type leaselessStore struct{ *Memory }

func (s leaselessStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if lease == nil {
		lease, _ = new(tusd.LocalLocker).Lock(ctx, id, tusd.LockTry) // a new locker has no locks
	}
	return s.Memory.GetUpload(ctx, lease, id)
}

// vagueStore never returns ErrNotFound.
type vagueStore struct{ *Memory }

func (s vagueStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	u, err := s.Memory.GetUpload(ctx, lease, id)
	if err != nil {
		return nil, errors.New("cannot open")
	}
	return u, nil
}
