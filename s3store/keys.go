package s3store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tus/tusd"
)

// Suffixes of the keys of an upload, and prefixes of the store's own keys. No id
// ends with these suffixes, and no segment of an id begins with .tusd.
const (
	recordSuffix     = ".info"
	tailSuffix       = ".part"
	ownPrefix        = ".tusd.d/"
	sideRecordPrefix = ownPrefix + "side/"
	probePrefix      = ownPrefix + "probe" // of the objects that Open stores to probe the service

	offsetDigits = 20 // in the key of a tail object, so that keys sort as offsets do
)

func (b *bucket) recordKey(id string) string { return b.prefix + id + recordSuffix }

// tailKey returns the key of the tail object that begins at start.
func (b *bucket) tailKey(id string, start int64) string {
	return fmt.Sprintf("%s%s.%0*d%s", b.prefix, id, offsetDigits, start, tailSuffix)
}

// tailStart is the inverse of tailKey for a given id.
func (b *bucket) tailStart(id, key string) (start int64, ok bool) {
	name, ok := strings.CutPrefix(key, b.prefix)
	if !ok {
		return 0, false
	}
	found, start, ok := splitTailName(name)
	return start, ok && found == id
}

// idOf is the inverse of recordKey.
func (b *bucket) idOf(key string) (id string, ok bool) {
	id, ok = strings.CutPrefix(key, b.prefix)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, recordSuffix)
	return id, ok && tusd.ValidateID(id) == nil
}

// splitTailName is the inverse of tailKey, for a key without the prefix.
func splitTailName(name string) (id string, start int64, ok bool) {
	base, ok := strings.CutSuffix(name, tailSuffix)
	dot := len(base) - offsetDigits - 1
	if !ok || dot <= 0 || base[dot] != '.' {
		return "", 0, false
	}
	start, err := strconv.ParseInt(base[dot+1:], 10, 64)
	return base[:dot], start, err == nil && start >= 0
}

func (b *bucket) sideRecordKey(key tusd.SideRecordKey) string {
	return b.prefix + sideRecordPrefix + key.Kind + "/" + key.Name
}

// storage returns a record's description of where its upload is stored, as tusd
// v2 writes it.
func (b *bucket) storage(key string) map[string]string {
	return map[string]string{"Type": "s3store", "Bucket": b.name, "Key": key}
}
