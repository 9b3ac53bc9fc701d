package s3store

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// ReadsIncomplete implements tusd.Rewinder: parts cannot be read.
func (s *Store) ReadsIncomplete() bool { return false }

// Rewind implements tusd.Rewinder. A chunk that was not verified has removed no
// piece, so those before offset are still there.
func (s *Store) Rewind(ctx context.Context, up tusd.Upload, offset int64) error {
	u, err := ours(up)
	if err != nil {
		return err
	}
	return failed("rewind upload", u.id, u.rewind(ctx, offset))
}

func (u *upload) rewind(ctx context.Context, offset int64) error {
	st, err := u.begin(ctx)
	if err != nil {
		return err
	}
	cut, err := st.cutTo(offset)
	if err != nil {
		return err
	}
	pieces := st.pieces
	if len(cut.content.Parts) < len(st.content.Parts) {
		next := cut
		next.pieces = pieces // until they are removed
		if err := u.store(ctx, next); err != nil {
			return err
		}
		cut = u.current()
	}
	_, later := piecesBefore(pieces, offset)
	if err := u.b.remove(ctx, keysOf(later)...); err != nil {
		u.doubt()
		return err
	}
	cut.pieces = without(pieces, later)
	u.become(cut)
	return nil
}

// cutTo is the state without what lies behind offset.
func (s *state) cutTo(offset int64) (state, error) {
	cut := *s
	if cut.whole {
		return cut, fmt.Errorf("it is complete")
	}
	n, end := 0, int64(0)
	for n < len(s.content.Parts) && end+s.content.Parts[n].Size <= offset {
		end += s.content.Parts[n].Size
		n++
	}
	cut.content.Parts = s.content.Parts[:n:n]
	if n < len(s.content.Parts) { // what is not listed any more may arrive once more
		cut.taken = max(cut.taken, s.content.nextNumber()-1)
	}
	cut.pieces, _ = piecesBefore(s.pieces, offset)
	if has := cut.offset(); has != offset {
		return cut, fmt.Errorf("it can be cut to %d bytes, not to %d", has, offset)
	}
	return cut, nil
}

// piecesBefore separates the pieces that begin before offset from the others.
func piecesBefore(pieces []piece, offset int64) (before, others []piece) {
	for _, p := range pieces {
		if p.start < offset {
			before = append(before, p)
		} else {
			others = append(others, p)
		}
	}
	return before, others
}
