package s3store

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// ReadsIncomplete implements tusd.Rewinder: parts cannot be read.
func (s *Store) ReadsIncomplete() bool { return false }

// Rewind implements tusd.Rewinder. A chunk that was not verified has removed no
// tail objects, so those before offset still exist.
func (s *Store) Rewind(ctx context.Context, up tusd.Upload, offset int64) error {
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	return wrapError("rewind upload", u.id, u.rewind(ctx, offset))
}

func (u *upload) rewind(ctx context.Context, offset int64) error {
	st, err := u.freshState(ctx)
	if err != nil {
		return err
	}
	cut, err := st.cutTo(offset)
	if err != nil {
		return err
	}
	all := st.tailObjects
	next := cut
	next.tailObjects = all                           // until they are removed
	if err := u.storeRecord(ctx, next); err != nil { // also without parts: another process may have the lock
		return err
	}
	cut = u.current()
	_, later := tailObjectsBefore(all, offset)
	if err := u.b.remove(ctx, keysOf(later)...); err != nil {
		u.invalidate()
		return err
	}
	cut.tailObjects = withoutTailObjects(all, later)
	u.setState(cut)
	return nil
}

// cutTo returns the state without the bytes behind offset.
func (s *state) cutTo(offset int64) (state, error) {
	cut := *s
	if cut.hasObject {
		return cut, fmt.Errorf("it is complete")
	}
	n, end := 0, int64(0)
	for n < len(s.layout.Parts) && end+s.layout.Parts[n].Size <= offset {
		end += s.layout.Parts[n].Size
		n++
	}
	cut.layout.Parts = s.layout.Parts[:n:n]
	if n < len(s.layout.Parts) { // removed parts may arrive again
		cut.maxLateNumber = max(cut.maxLateNumber, s.layout.nextNumber()-1)
	}
	cut.tailObjects, _ = tailObjectsBefore(s.tailObjects, offset)
	if has := cut.offset(); has != offset {
		return cut, fmt.Errorf("it can be cut to %d bytes, not to %d", has, offset)
	}
	return cut, nil
}

// tailObjectsBefore separates the tail objects that begin before offset from
// the others.
func tailObjectsBefore(tail []tailObject, offset int64) (before, others []tailObject) {
	for _, p := range tail {
		if p.start < offset {
			before = append(before, p)
		} else {
			others = append(others, p)
		}
	}
	return before, others
}
