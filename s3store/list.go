package s3store

import (
	"context"
	"strings"
	"time"

	"github.com/tus/tusd"
)

// List implements tusd.Lister. The order is that of the records' keys. What
// tusd v2 has begun is listed by the object's name alone, under which GetUpload
// finds nothing: the rest of the id is only in the record, and to read every
// record would cost a call for each.
func (s *Store) List(ctx context.Context, cursor string, before time.Time, limit int) (ids []string, next string, err error) {
	b, err := s.bucket()
	if err != nil {
		return nil, "", err
	}
	in := ListObjects{Prefix: b.prefix, Max: listPage}
	if cursor != "" {
		in.After = b.recordKey(cursor)
	}
	changed := make(map[string]bool)
	for {
		page, err := b.list(ctx, in)
		if err != nil {
			return nil, "", failed("list uploads behind", cursor, err)
		}
		for _, o := range page.Objects {
			in.After = o.Key
			id, isRecord := b.idOf(o.Key)
			switch late := !before.IsZero() && o.Modified.After(before); {
			case !isRecord && late:
				changed[b.ownerOf(o.Key)] = true
			case isRecord && !late && !changed[id]:
				ids = append(ids, id)
			}
			if isRecord {
				delete(changed, id)
			}
			if isRecord && len(ids) == limit {
				return ids, id, nil
			}
		}
		if !page.More || len(page.Objects) == 0 {
			return ids, "", nil
		}
	}
}

// ownerOf is the id of the upload that a piece or a data object under its own
// name belongs to. They are sorted before the record.
func (b *bucket) ownerOf(key string) string {
	id := strings.TrimPrefix(key, b.prefix)
	if base, ok := strings.CutSuffix(id, pieceSuffix); ok {
		if dot := strings.LastIndexByte(base, '.'); dot > 0 && tusd.ValidateID(base[:dot]) == nil {
			return base[:dot]
		}
	}
	return id
}
