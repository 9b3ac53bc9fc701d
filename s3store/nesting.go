package s3store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Some services store objects as files. They do not support an object below the
// key of another: they refuse it, or store it and do not list it, or cannot
// complete an object above existing ones. So of the ids photos and photos/1
// only one can be used. The second is refused when it is created, before any of
// its bytes are acknowledged and before those of the first become unreachable.

const belowProbe = "/below"

// tryNesting probes whether objects can be stored below the key of another.
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

// checkNesting refuses an upload whose keys cannot be used beside those of
// others. Its record is stored already: of two uploads that are created at the
// same time, at least one sees the other. sharedKey says that another upload
// may use the data key, too.
func (b *bucket) checkNesting(ctx context.Context, st *state, sharedKey bool) error {
	if b.allowsNesting {
		return nil
	}
	if sharedKey || strings.Contains(st.info.ID, "/") {
		for _, key := range b.parentKeys(st.recordKey, st.dataKey()) {
			if err := b.checkKeyFree(ctx, key); err != nil {
				return err
			}
		}
	}
	if !sharedKey && isRandomID(st.info.ID) {
		return nil
	}
	page, err := b.list(ctx, ListObjects{Prefix: st.dataKey() + "/", Max: 1})
	if err == nil && len(page.Objects) > 0 {
		err = fmt.Errorf("%w: %s lies below it", errTaken, page.Objects[0].Key)
	}
	return err
}

// parentKeys returns the keys that one or more of keys are below, except those
// of the prefix.
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

// isRandomID reports whether an id looks like those that the root package
// makes: no client could have created anything below it before.
func isRandomID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

// isNestingRefused reports whether a service has refused to store an object
// because of another one above or below its key.
func isNestingRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]string{
		"ObjectParentIsFile", "ExistingObjectIsDirectory", // versitygw
		"XMinioParentIsObject", "XMinioObjectExistsAsDirectory", // old ones of MinIO
	}, e.Code)
}
