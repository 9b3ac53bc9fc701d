package s3store

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// conditions are those that the service knows for writes.
type conditions struct {
	create  bool // If-None-Match: *
	replace bool // If-Match
}

// probe stores an object and removes it, as the first upload would.
func (b *bucket) probe(ctx context.Context) error {
	if _, err := b.list(ctx, ListObjects{Prefix: b.prefix + ownPrefix, Max: 1}); err != nil {
		return fmt.Errorf("it cannot be listed: %w", err)
	}
	key := b.prefix + probeKey
	in := PutObject{Key: key, Body: strings.NewReader("")}
	etag, err := b.putPlain(ctx, in)
	if err != nil {
		return fmt.Errorf("nothing can be stored in it: %w", err)
	}
	if !b.profile.NoConditions {
		if err := b.probeConditions(ctx, in, etag); err != nil {
			return fmt.Errorf("a write with a condition cannot be tried: %w", err)
		}
	}
	if err := b.remove(ctx, key); err != nil {
		return fmt.Errorf("nothing can be removed from it: %w", err)
	}
	return nil
}

// probeConditions asks for writes over an object that must be refused: a
// service may not know a condition, or take it for granted.
func (b *bucket) probeConditions(ctx context.Context, in PutObject, etag string) (err error) {
	in.IfNoneMatch = true
	if b.conditions.create, err = b.refuses(ctx, in); err != nil {
		return err
	}
	in.IfNoneMatch, in.IfMatch = false, `"00000000000000000000000000000000"`
	if b.conditions.replace, err = b.refuses(ctx, in); err != nil || !b.conditions.replace {
		return err
	}
	in.IfMatch = etag
	if _, err := b.putPlain(ctx, in); err != nil { // the service has another idea of the condition
		b.conditions.replace = false
	}
	return nil
}

// refuses tells whether a write fails for its condition.
func (b *bucket) refuses(ctx context.Context, in PutObject) (bool, error) {
	_, err := b.putPlain(ctx, in)
	switch {
	case isRefusedCondition(err):
		return true, nil
	case err == nil || hasStatus(err, http.StatusNotImplemented, http.StatusBadRequest):
		return false, nil
	}
	return false, err
}
