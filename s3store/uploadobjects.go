package s3store

import (
	"context"
	"strings"
	"time"
)

// uploadObjects are the objects of one upload, as a listing shows them.
type uploadObjects struct {
	record      string       // its ETag; "": there is none
	data        string       // ETag of the object whose key is the id; "": there is none
	tailObjects []tailObject // by start
	changed     time.Time    // when the last of all these was stored
}

const listPage = 1000

// listUpload lists the objects of an upload, in one call unless many ids begin
// with this one. Objects of other ids are sorted behind the data object, and
// before or behind the rest.
func (b *bucket) listUpload(ctx context.Context, id string) (uploadObjects, error) {
	var found uploadObjects
	key := b.prefix + id
	in := ListObjects{Prefix: key, Max: listPage}
	for {
		page, err := b.list(ctx, in)
		if err != nil {
			return uploadObjects{}, err
		}
		for _, o := range page.Objects {
			b.note(&found, id, o)
			in.After = o.Key
		}
		if !page.More || in.After > key+".~" {
			return found, nil
		}
		in.Prefix = key + "."
	}
}

func (b *bucket) note(found *uploadObjects, id string, o ListedObject) {
	switch o.Key {
	case b.prefix + id:
		found.data = o.ETag
	case b.recordKey(id):
		found.record = o.ETag
	default:
		start, ok := b.tailStart(id, o.Key)
		if !ok {
			return
		}
		found.tailObjects = append(found.tailObjects, tailObject{start: start, size: o.Size, key: o.Key, etag: o.ETag})
	}
	found.changed = later(found.changed, o.Modified)
}

// sameETag compares ETags. Some services do not quote them everywhere.
func sameETag(a, b string) bool { return strings.Trim(a, `"`) == strings.Trim(b, `"`) }
