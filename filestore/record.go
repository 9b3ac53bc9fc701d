package filestore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	// maxRecord bounds the size of a record, in bytes.
	maxRecord = 1 << 20
	// usualRecord is more than the length of most records, in bytes.
	usualRecord = 640
	// maxSize bounds lengths and offsets, so that their sums cannot overflow.
	maxSize = math.MaxInt64 / 2
)

// readRecordWithLease reads and checks the record of id for the holder of lease, which may
// be nil. It also returns when the record was written. The error may be one of isAbsent, of
// broken, or of the operating system. The result is shared and must not be changed.
// The functions here return pointers, because every connection keeps the deepest
// stack that it ever needed.
func (v *volume) readRecordWithLease(lease tusd.Lease, id string) (*tusd.FileInfo, time.Time, error) {
	if lease == nil {
		info, stat, err := v.readStamped(id)
		return info, stat.Modified, err
	}
	if known, written := v.confirmedRecord(lease, id); known != nil {
		return known, written, nil
	}
	info, stat, err := v.readStamped(id)
	if err == nil {
		v.uploads.confirmRecord(info, stat.Stamp)
	}
	return info, stat.Modified, err
}

// confirmedRecord returns the cached record of id, and when it was written, if its file has
// not changed since it was read, and nil otherwise. The caller holds lease.
func (v *volume) confirmedRecord(lease tusd.Lease, id string) (*tusd.FileInfo, time.Time) {
	known, stamp := v.uploads.stampedRecord(id, v.scope, lease)
	if known == nil {
		return nil, time.Time{}
	}
	where := v.record(id)
	now, err := where.tree.Lstat(where.name)
	if err != nil || now.Stamp != stamp {
		return nil, time.Time{}
	}
	return known, now.Modified
}

// readStamped is readRecordWithLease without a lease, and also describes the file.
func (v *volume) readStamped(id string) (*tusd.FileInfo, durable.Info, error) {
	where := v.record(id)
	content, stat, err := readSmall(where, maxRecord)
	if err != nil {
		return nil, stat, v.distinguish(id, err)
	}
	if info := v.uploads.decodedRecord(id, content); info != nil {
		return info, stat, nil
	}
	info, err := decodeRecord(where, id, content, unmarshal)
	if err != nil {
		return nil, stat, v.distinguish(id, err)
	}
	v.uploads.addRecord(info, content, durable.Stamp{})
	return info, stat, nil
}

// readRecordOnce is readRecordWithLease for a record that is not read again soon: it leaves
// the cache as it is. It decodes in its own goroutine, which is faster and makes the stack
// deeper: no caller waits for a client afterwards.
func (v *volume) readRecordOnce(id string) (*tusd.FileInfo, time.Time, error) {
	where := v.record(id)
	content, stat, err := readSmall(where, maxRecord)
	var info *tusd.FileInfo
	if err == nil {
		info, err = decodeRecord(where, id, content, json.Unmarshal)
	}
	return info, stat.Modified, v.distinguish(id, err)
}

// decodeRecord reads and checks the content of the record of id. decode is unmarshal or
// json.Unmarshal.
func decodeRecord(where treePath, id string, content []byte, decode func([]byte, any) error) (*tusd.FileInfo, error) {
	info, err := parseRecord(id, content, decode)
	if err != nil {
		return nil, broken(where.path(), "%w", err)
	}
	if info.Version > tusd.RecordVersion {
		return nil, fmt.Errorf("%s has version %d, this program reads up to %d", where.path(), info.Version, tusd.RecordVersion)
	}
	if err := checkFields(info); err != nil {
		return nil, broken(where.path(), "%w", err)
	}
	return info, nil
}

// errForeign is the cause of ErrNotFound for a record of another program.
var errForeign = errors.New("it is of another program")

// distinguish returns err, or ErrNotFound if err is that of a broken record that no version of
// tusd can have written: it is of another program, and no upload.
func (v *volume) distinguish(id string, err error) error {
	if errors.Is(err, tusd.ErrBroken) && !v.isOwnRecord(id) {
		return notFound(fmt.Errorf("%s: %w", v.record(id).path(), errForeign))
	}
	return err
}

// isOwnRecord reports whether a record that is not valid may be one of this program or
// of tusd v2: it begins as that of id does, or a power cut has taken its content.
func (v *volume) isOwnRecord(id string) bool {
	f, stat, err := v.tree.OpenRegular(v.record(id).name)
	if err != nil {
		return !errors.Is(err, durable.ErrIrregular)
	}
	defer f.Close()
	quoted, _ := json.Marshal(id)
	begin := append([]byte(`{"ID":`), quoted...)
	start := make([]byte, min(int64(len(begin)+64), stat.Size))
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return true
	}
	start = bytes.Join(bytes.Fields(bytes.Trim(start[:n], "\x00")), nil)
	return bytes.HasPrefix(start, begin) || bytes.HasPrefix(begin, start)
}

// readSmall reads a regular file of at most limit bytes. A longer file, or one that
// is not regular, is broken. It never opens a file that could block.
func readSmall(where treePath, limit int64) ([]byte, durable.Info, error) {
	f, stat, err := where.tree.OpenRegular(where.name)
	if errors.Is(err, durable.ErrIrregular) {
		return nil, stat, broken(where.path(), "%w", err)
	}
	if err != nil {
		return nil, stat, err
	}
	defer f.Close()
	if stat.Size > limit {
		return nil, stat, broken(where.path(), "it has %d bytes", stat.Size)
	}
	content := make([]byte, stat.Size)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, stat, err
	}
	return content[:n], stat, nil
}

// parseRecord decodes the JSON of a record and checks the fields of tusd v2.
func parseRecord(id string, content []byte, decode func([]byte, any) error) (*tusd.FileInfo, error) {
	info := new(tusd.FileInfo)
	if err := decode(content, info); err != nil {
		return nil, fmt.Errorf("it is not a record: %w", err)
	}
	if info.ID != id {
		return nil, fmt.Errorf("it is the record of %q", info.ID)
	}
	if info.Size < 0 || info.Size > maxSize {
		return nil, fmt.Errorf("a length of %d is impossible", info.Size)
	}
	if kind := info.Storage["Type"]; kind != "" && kind != "filestore" {
		return nil, fmt.Errorf("it belongs to a store of type %q", kind)
	}
	if info.SizeIsDeferred {
		info.Size = 0
	}
	return info, nil
}

// unmarshal decodes in a goroutine of its own. Package json needs a deeper stack than
// the rest of a request, and a request that waits for its client for hours would
// keep it.
func unmarshal(content []byte, into any) error {
	done := make(chan error)
	go func() { done <- json.Unmarshal(content, into) }()
	return <-done
}

// checkFields refuses values that this program does not write.
func checkFields(info *tusd.FileInfo) error {
	switch info.State {
	case "", tusd.StateUploading, tusd.StateFinishing, tusd.StateComplete, tusd.StateFailed:
	default:
		return fmt.Errorf("it has state %q", info.State)
	}
	if n := info.KnownLength; n != nil && (*n < 0 || *n > maxSize) {
		return fmt.Errorf("a length of %d is impossible", *n)
	}
	if f := info.Failure; f != nil && (f.StatusCode < 400 || f.StatusCode > 599) {
		return fmt.Errorf("it failed with status %d", f.StatusCode)
	}
	for _, id := range slices.Concat(info.Finals, info.PartialUploads) {
		if err := tusd.ValidateID(id); err != nil {
			return err
		}
	}
	return nil
}

// formatRecord encodes a record. Its offset is 0: the length of the data is the
// offset.
func formatRecord(info tusd.FileInfo) ([]byte, error) {
	info.Offset = 0
	w := recordWriter{b: make([]byte, 0, usualRecord)}
	w.record(&info)
	if w.err != nil {
		return nil, w.err
	}
	if len(w.b) > maxRecord {
		return nil, fmt.Errorf("a record of %d bytes is too long", len(w.b))
	}
	return w.b, nil
}
