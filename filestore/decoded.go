package filestore

import (
	"bytes"
	"sync"

	"github.com/tus/tusd"
)

const (
	// maxDecoded and maxDecodedRecord (bytes) bound the memory for records
	// that need not be decoded again, to 4 MiB and what the records say.
	maxDecoded       = 1 << 10
	maxDecodedRecord = 4 << 10
)

// decodedRecords remembers what records say, so that one that was read again
// and is the same, byte for byte, is not decoded again. The files are always
// read: whoever changed them, this is never wrong. The zero value is ready to
// use.
type decodedRecords struct {
	mu   sync.RWMutex
	byID map[string]decodedRecord
}

type decodedRecord struct {
	content []byte
	info    *tusd.FileInfo
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

// add remembers that content says info. Both are shared from now on.
func (d *decodedRecords) add(content []byte, info *tusd.FileInfo) {
	if len(content) > maxDecodedRecord {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID = make(map[string]decodedRecord)
	}
	if _, known := d.byID[info.ID]; !known && len(d.byID) >= maxDecoded {
		for id := range d.byID { // whichever comes first
			delete(d.byID, id)
			break
		}
	}
	d.byID[info.ID] = decodedRecord{content, info}
}
