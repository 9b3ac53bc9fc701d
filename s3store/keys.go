package s3store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tus/tusd"
)

// What follows an id in the keys that belong to an upload. No id ends so, and
// none has a segment that begins with .tusd.
const (
	recordSuffix = ".info"
	tailSuffix   = ".part"
	ownPrefix    = ".tusd.d/"
	sidePrefix   = ownPrefix + "side/"
	probePrefix  = ownPrefix + "probe" // of what is stored to see whether that works

	offsetDigits = 20 // of a piece's key, so that keys sort as offsets do
)

func (b *bucket) recordKey(id string) string { return b.prefix + id + recordSuffix }

// tailKey is where the bytes of a tail that begin at start lie.
func (b *bucket) tailKey(id string, start int64) string {
	return fmt.Sprintf("%s%s.%0*d%s", b.prefix, id, offsetDigits, start, tailSuffix)
}

// tailStart is the inverse of tailKey.
func (b *bucket) tailStart(id, key string) (start int64, ok bool) {
	digits, ok := strings.CutPrefix(key, b.prefix+id+".")
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, tailSuffix)
	if !ok || len(digits) != offsetDigits {
		return 0, false
	}
	start, err := strconv.ParseInt(digits, 10, 64)
	return start, err == nil && start >= 0
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

func (b *bucket) sideKey(key tusd.SideKey) string {
	return b.prefix + sidePrefix + key.Kind + "/" + key.Name
}

// storage is what a record says about where its upload is, as tusd v2 does.
func (b *bucket) storage(key string) map[string]string {
	return map[string]string{"Type": "s3store", "Bucket": b.name, "Key": key}
}
