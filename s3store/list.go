package s3store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

// List implements tusd.Lister. The order is that of the records' keys.
func (s *Store) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) (uploads []tusd.Listed, next string, err error) {
	return nil, "", errors.New("s3store: List is not built yet")
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
