package s3store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tus/tusd"
)

// List implements tusd.Lister. The order is that of the records' keys. Uploads
// of tusd v2 are listed by the object's name alone, with which GetUpload finds
// nothing: the rest of the id is only in the record, and reading every record
// would cost a call for each.
func (s *Store) List(ctx context.Context, cursor string, before time.Time, limit int) (ids []string, next string, err error) {
	b, err := s.bucket()
	if err != nil {
		return nil, "", err
	}
	in := ListObjects{Prefix: b.prefix, Max: listPage}
	if cursor != "" {
		in.After = b.recordKey(cursor)
	}
	var changed pendingIDs
	for {
		page, err := b.list(ctx, in)
		if err != nil {
			return nil, "", wrapError("list uploads behind", cursor, err)
		}
		for _, o := range page.Objects {
			in.After = o.Key
			changed.advance(strings.TrimPrefix(o.Key, b.prefix))
			late := !before.IsZero() && o.Modified.After(before)
			id, isRecord := b.idOf(o.Key)
			if !isRecord {
				if late {
					changed.add(b.ownerOf(o.Key))
				}
				continue
			}
			if !late && !changed.has(id) {
				ids = append(ids, id)
			}
			if len(ids) == limit {
				return ids, id, nil
			}
		}
		if !page.More || len(page.Objects) == 0 {
			return ids, "", nil
		}
	}
}

// ownerOf returns the id of the upload that a tail object belongs to, or a data
// object whose key is the id. Both are sorted before the record.
func (b *bucket) ownerOf(key string) string {
	id := strings.TrimPrefix(key, b.prefix)
	if base, ok := strings.CutSuffix(id, tailSuffix); ok {
		if dot := strings.LastIndexByte(base, '.'); dot > 0 && tusd.ValidateID(base[:dot]) == nil {
			return base[:dot]
		}
	}
	return id
}

// pendingIDs are the ids whose data changed too late and whose records, if they
// exist, are still to come in the listing. All keys between that of an id's
// data and that of its record begin with the id. So these ids are prefixes of
// the current name of the listing, and there are at most as many as it has
// bytes, however many data objects have no record.
type pendingIDs []string

// advance drops the ids whose records can no longer come, when the listing is
// at name, a key without the prefix.
func (c *pendingIDs) advance(name string) {
	*c = slices.DeleteFunc(*c, func(id string) bool { return !strings.HasPrefix(name, id) })
}

// add adds an id that is a prefix of the current name of the listing.
func (c *pendingIDs) add(id string) {
	if !c.has(id) {
		*c = append(*c, id)
	}
}

func (c pendingIDs) has(id string) bool { return slices.Contains(c, id) }
