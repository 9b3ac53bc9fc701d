package filestore

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
	"github.com/tus/tusd/internal/durable"
)

// recordCacheBytes bounds the memory for records that need not be decoded again: some
// 1 500 usual ones.
const recordCacheBytes = 4 << 20

// recordCache remembers what records say, so that one that was read again
// and is the same, byte for byte, is not decoded again. One that only this
// process can have changed is not even read again while its file looks the
// same. An eviction costs reading and decoding.
type recordCache struct {
	mu   sync.RWMutex
	byID *bytecache.Cache[string, cachedRecord]
}

func newRecordCache() recordCache {
	return recordCache{byID: bytecache.New(recordCacheBytes, func(_ string, r cachedRecord) int {
		return cap(r.content) + int(unsafe.Sizeof(*r.info)) + r.info.MemorySize()
	}, nil)}
}

type cachedRecord struct {
	content []byte
	info    *tusd.FileInfo
	stamp   durable.Stamp // of the file, if it was read under a lease
}

// get returns what the record of id with this content says, nil if that is not
// known. It is shared and must not be changed.
func (d *recordCache) get(id string, content []byte) *tusd.FileInfo {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known, ok := d.byID.Get(id)
	if !ok || !bytes.Equal(known.content, content) {
		return nil
	}
	return known.info
}

// stamped returns what the record of id says and the stamp with which it was
// read; nil if that is not known. If the caller holds the lease and no server
// has changed the upload since, the stamp only tells what others did, such as
// an operator with an editor.
func (d *recordCache) stamped(id string) (*tusd.FileInfo, durable.Stamp) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known, _ := d.byID.Get(id)
	if known.stamp == (durable.Stamp{}) {
		return nil, durable.Stamp{}
	}
	return known.info, known.stamp
}

// confirm remembers the stamp of the file that info was read from. The caller
// holds the lease. If something else is remembered by now, it is not of this
// file: readers without a lease may have seen an older one.
func (d *recordCache) confirm(info *tusd.FileInfo, stamp durable.Stamp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, _ := d.byID.Get(info.ID); known.info == info {
		known.stamp = stamp
		d.byID.Put(info.ID, known)
	}
}

// invalidate has the record of id read again. The caller holds the lease and is
// going to change it.
func (d *recordCache) invalidate(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byID.Get(id); ok {
		known.stamp = durable.Stamp{}
		d.byID.Put(id, known)
	}
}

// forget drops what is known of an upload.
func (d *recordCache) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID.Delete(id)
}

// add remembers that content says info, in place of what was known of the upload.
// Both are shared from now on.
func (d *recordCache) add(content []byte, info *tusd.FileInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID.Put(info.ID, cachedRecord{content: content, info: info})
}
