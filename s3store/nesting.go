package s3store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

// Some services keep objects as files. There no object has a place below the
// key of another: it is refused, or it is stored and not listed any more, or
// what lies there already keeps the other from being completed. So of the ids
// photos and photos/1 only one can be used, and the second is refused when it
// is created, before any bytes of it are acknowledged or those of the first
// are out of reach.

const belowProbe = "/below"

// tryNesting finds out whether objects can lie below the key of another.
func (p *probe) tryNesting() error {
	_, err := probeCall(p.ctx, func(ctx context.Context) (string, error) {
		return p.client.PutObject(ctx, PutObject{Key: p.key + belowProbe, Body: strings.NewReader("")})
	})
	var refused *Error
	switch {
	case errors.As(err, &refused) && !isTransient(err):
		return nil
	case err != nil:
		return err
	}
	p.below = true
	page, err := probeCall(p.ctx, func(ctx context.Context) (*ObjectPage, error) {
		return p.client.ListObjects(ctx, ListObjects{Prefix: p.key, Max: 2})
	})
	p.allowsNesting = err == nil && len(page.Objects) == 2
	return err
}

// checkNesting refuses the keys of an upload if they cannot be used beside those
// of others. Its record is stored already: of two uploads that are created at
// the same time, one at least sees the other. chosen tells that others may have
// the key of the data, too.
func (b *bucket) checkNesting(ctx context.Context, st *state, chosen bool) error {
	if b.allowsNesting {
		return nil
	}
	if chosen || strings.Contains(st.info.ID, "/") {
		for _, key := range b.parentKeys(st.recordKey, st.dataKey()) {
			if err := b.checkKeyFree(ctx, key); err != nil {
				return err
			}
		}
	}
	if !chosen && isRandomID(st.info.ID) {
		return nil
	}
	page, err := b.list(ctx, ListObjects{Prefix: st.dataKey() + "/", Max: 1})
	if err == nil && len(page.Objects) > 0 {
		err = tusd.ErrUploadExists.With(fmt.Errorf("%s lies below its key", page.Objects[0].Key))
	}
	return err
}

// parentKeys returns the keys of which one or more of keys are below, those of the
// prefix not among them.
func (b *bucket) parentKeys(keys ...string) (above []string) {
	for _, key := range keys {
		for i := len(b.prefix); i < len(key); i++ {
			if key[i] == '/' && !slices.Contains(above, key[:i]) {
				above = append(above, key[:i])
			}
		}
	}
	return above
}

// isRandomID tells whether an id is as the root package makes them: nobody
// can have put anything below it before it was made.
func isRandomID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

// isNestingRefused tells whether a service has refused to store an object because of
// one above or below its key.
func isNestingRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]string{
		"ObjectParentIsFile", "ExistingObjectIsDirectory", // versitygw
		"XMinioParentIsObject", "XMinioObjectExistsAsDirectory", // old ones of MinIO
	}, e.Code)
}
