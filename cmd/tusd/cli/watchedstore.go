package cli

import (
	"context"

	"github.com/tus/tusd"
)

// watchedLister calls look before each record that a listing reads. Calls of look may come
// at the same time.
type watchedLister struct {
	tusd.Lister
	look func()
}

// List implements tusd.Lister.
func (w watchedLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	filter.Pace = watchedPace(filter.Pace, w.look)
	return w.Lister.List(ctx, cursor, filter, limit)
}

// watchedTidier calls look before each thing that Tidy looks at.
type watchedTidier struct {
	tusd.Tidier
	look func()
}

// Tidy implements tusd.Tidier.
func (w watchedTidier) Tidy(ctx context.Context, t tusd.Tidying) error {
	t.Pace = watchedPace(t.Pace, w.look)
	return w.Tidier.Tidy(ctx, t)
}

// watchedPace returns a pace, which may be nil, that also calls look.
func watchedPace(pace func(context.Context) error, look func()) func(context.Context) error {
	return func(ctx context.Context) error {
		look()
		if pace == nil {
			return nil
		}
		return pace(ctx)
	}
}

// watch lets the composer's listings call onListed and onTidied.
func (a *storeAccess) watch() {
	if a.onListed != nil && a.composer.Lister != nil {
		a.composer.Lister = watchedLister{a.composer.Lister, a.onListed}
	}
	if a.onTidied != nil && a.composer.Tidier != nil {
		a.composer.Tidier = watchedTidier{a.composer.Tidier, a.onTidied}
	}
}
