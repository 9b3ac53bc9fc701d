package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tus/tusd"
)

var errUnknownOwner = errors.New("no record has its name, but one with another name may name it")

// multiparts looks at the multipart uploads, if the client and the service can list them.
// Without SweepMultipart it only counts them: it would have to read a record for each.
func (y *tidying) multiparts(ctx context.Context) error {
	lister, ok := multipartLister(y.b.client)
	if !ok {
		return nil
	}
	if y.sweepsMultipart {
		return y.eachMultipart(ctx, lister, y.multipart)
	}
	count, oldest := 0, y.Before
	err := y.eachMultipart(ctx, lister, func(_ context.Context, m PendingMultipart) error {
		if count++; m.Initiated.Before(oldest) {
			oldest = m.Initiated
		}
		return nil
	})
	var refused *Error
	if errors.As(err, &refused) && !isTransient(err) {
		return nil // a permission that nothing else needs
	}
	if err != nil || count == 0 {
		return err
	}
	name := fmt.Sprintf("%s (%d, those of incomplete uploads included)", cmp.Or(y.b.prefix, "/"), count)
	return y.report(ctx, tusd.Leftover{Kind: tusd.LeftoverMultipart, Name: name, Changed: oldest})
}

// eachMultipart calls look for each old multipart upload. It asks for the next page before it
// calls look for those of a page, because some services refuse to continue behind a multipart
// upload that is gone.
func (y *tidying) eachMultipart(ctx context.Context, lister MultipartLister, look func(context.Context, PendingMultipart) error) error {
	page, err := y.listMultiparts(ctx, lister, ListMultiparts{Prefix: y.b.prefix})
	if err != nil {
		return err
	}
	for {
		var following *MultipartPage
		var endErr error
		if page.More && page.NextKey == "" {
			endErr = errEmptyPage
		} else if page.More {
			in := ListMultiparts{Prefix: y.b.prefix, AfterKey: page.NextKey, AfterMultipart: page.NextMultipart}
			following, endErr = y.listMultiparts(ctx, lister, in)
		}
		for _, m := range page.Multiparts {
			if !m.Initiated.Before(y.Before) || !strings.HasPrefix(m.Key, y.b.prefix) {
				continue
			}
			if err := look(ctx, m); err != nil {
				return err
			}
		}
		if following == nil {
			return endErr
		}
		if following.More && following.NextKey == page.NextKey && following.NextMultipart == page.NextMultipart {
			return errors.New("the service lists the same multipart uploads again and again")
		}
		page = following
	}
}

func (y *tidying) listMultiparts(ctx context.Context, lister MultipartLister, in ListMultiparts) (*MultipartPage, error) {
	return retry(ctx, y.b, "ListMultipartUploads", 0, func(ctx context.Context) (*MultipartPage, error) {
		return lister.ListMultiparts(ctx, in)
	})
}

// multipart looks at a multipart upload, and removes it if no record names it.
func (y *tidying) multipart(ctx context.Context, m PendingMultipart) error {
	if err := y.Pace(ctx); err != nil {
		return err
	}
	found := tusd.Leftover{Kind: tusd.LeftoverMultipart, Name: m.Key, Changed: m.Initiated}
	id, owner, err := y.b.ownerOfMultipart(ctx, m)
	found.Upload = id
	switch {
	case err != nil:
		found.Err = err
		return y.report(ctx, found)
	case owner == ownerUnknown:
		found.Err = errUnknownOwner
		return y.report(ctx, found)
	case owner != ownerNone:
		return nil
	}
	found.Removed = true
	return y.removeUnderLock(ctx, id, []tusd.Leftover{found}, func(ctx context.Context) ([]tusd.Leftover, error) {
		now, owner, err := y.b.ownerOfMultipart(ctx, m)
		if err != nil || owner != ownerNone || now != id {
			return nil, err
		}
		return []tusd.Leftover{found}, y.b.abort(ctx, m.Key, m.ID)
	})
}

// multipartOwner says whether an upload needs a multipart upload.
type multipartOwner int

const (
	ownerUnknown multipartOwner = iota
	ownerRecord                 // its record names it
	ownerNone                   // the only record that can name it does not, or does not exist
)

// ownerOfMultipart finds out whether a record names a multipart upload. id is that of the
// upload whose data key it has.
func (b *bucket) ownerOfMultipart(ctx context.Context, m PendingMultipart) (id string, owner multipartOwner, err error) {
	name, isMade := b.idOfDataKey(m.Key)
	if tusd.ValidateID(name) != nil {
		return "", ownerUnknown, nil
	}
	id, r, err := b.readRecordNamed(ctx, name)
	switch {
	case isMissing(err):
		if isMade {
			owner, err = b.ownerWithoutRecord(ctx, name)
			return name, owner, err
		}
		return name, ownerUnknown, nil
	case err != nil:
		return id, ownerUnknown, fmt.Errorf("its record cannot be read: %w", err)
	case id == "":
		return name, ownerUnknown, nil
	}
	_, ofV2, _ := splitV2ID(id)
	switch {
	case r.Storage["Key"] != m.Key:
		return id, ownerUnknown, nil
	case r.S3 == nil && ofV2 == m.ID, r.S3 != nil && r.S3.Multipart == m.ID:
		return id, ownerRecord, nil
	}
	return id, ownerNone, nil
}

// ownerWithoutRecord is ownerOfMultipart if the record seems to be missing: only the service
// can say so, and a proxy may have answered.
func (b *bucket) ownerWithoutRecord(ctx context.Context, id string) (multipartOwner, error) {
	found, err := b.listUpload(ctx, id)
	if err != nil || found.record != "" {
		return ownerUnknown, err
	}
	return ownerNone, nil
}
