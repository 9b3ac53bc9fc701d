package filestore

import (
	"bytes"
	"sync"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	// maxDecoded and maxDecodedRecord (bytes) bound the memory for records
	// that need not be decoded again, to 4 MiB and what the records say.
	maxDecoded       = 1 << 10
	maxDecodedRecord = 4 << 10
)

// decodedRecords remembers what records say, so that one that was read again
// and is the same, byte for byte, is not decoded again. One that only this
// process can have changed is not even read again while its file looks the
// same. The zero value is ready to use.
type decodedRecords struct {
	mu   sync.RWMutex
	byID map[string]decodedRecord
}

type decodedRecord struct {
	content []byte
	info    *tusd.FileInfo
	stamp   durable.Stamp // of the file, if it was read under a lease
}

// get returns what the record of id with this content says, nil if that is not
// known. It is shared and must not be changed.
func (d *decodedRecords) get(id string, content []byte) *tusd.FileInfo {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known, ok := d.byID[id]
	if !ok || !bytes.Equal(known.content, content) {
		return nil
	}
	return known.info
}

// stamped returns what the record of id says and the stamp with which it was
// read; nil if that is not known. If the caller holds the lease and no server
// has changed the upload since, the stamp only tells what others did, such as
// an operator with an editor.
func (d *decodedRecords) stamped(id string) (*tusd.FileInfo, durable.Stamp) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known := d.byID[id]
	if known.stamp == (durable.Stamp{}) {
		return nil, durable.Stamp{}
	}
	return known.info, known.stamp
}

// confirm remembers the stamp of the file that info was read from. The caller
// holds the lease. If something else is remembered by now, it is not of this
// file: readers without a lease may have seen an older one.
func (d *decodedRecords) confirm(info *tusd.FileInfo, stamp durable.Stamp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.byID[info.ID]; known.info == info {
		known.stamp = stamp
		d.byID[info.ID] = known
	}
}

// doubt has the record of id read again. The caller holds the lease and is
// going to change it.
func (d *decodedRecords) doubt(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byID[id]; ok {
		known.stamp = durable.Stamp{}
		d.byID[id] = known
	}
}

// forget drops what is known of an upload.
func (d *decodedRecords) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byID, id)
}

// add remembers that content says info, unless it is too long, in place of what
// was known of the upload. Both are shared from now on.
func (d *decodedRecords) add(content []byte, info *tusd.FileInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(content) > maxDecodedRecord {
		delete(d.byID, info.ID)
		return
	}
	if d.byID == nil {
		d.byID = make(map[string]decodedRecord)
	}
	if _, known := d.byID[info.ID]; !known && len(d.byID) >= maxDecoded {
		for id := range d.byID { // whichever comes first
			delete(d.byID, id)
			break
		}
	}
	d.byID[info.ID] = decodedRecord{content: content, info: info}
}
