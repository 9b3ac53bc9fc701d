package s3store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tus/tusd"
)

// listedObjects are the objects whose keys begin with an id, as the listing of the bucket
// shows them. Cursors contain the exported fields.
type listedObjects struct {
	id        string
	hasRecord bool
	etag      string // of the record
	size      int64  // of the record

	Changed  time.Time // when the last of the objects was stored
	HasData  bool      // there is an object whose key is the id
	DataSize int64
	Tails    int   // how many tail objects there are
	TailEnd  int64 // the lowest offset behind one of them
}

// hint returns what the size of the record tells.
func (o *listedObjects) hint() recordHint { return hintFromSize(o.size) }

// walk goes through all objects of the bucket. Its memory is bounded by a page of the
// listing.
//
// All keys between that of an id's data and that of its record begin with the id. So the
// ids whose records may still come are prefixes of the name of the current object, and there
// are at most as many as that has bytes, however many data objects have no record.
type walk struct {
	b       *bucket
	in      ListObjects
	objects []ListedObject  // of the page, that are still to be taken
	last    bool            // no page follows
	pending []listedObjects // of ids whose record may still come
	done    []listedObjects // that next returns before it takes another object
}

// walkCursor is the position of a walk, as JSON. The ids of Pending are the prefixes of
// After with these lengths.
type walkCursor struct {
	After   string
	Lengths []int           `json:",omitempty"`
	Pending []listedObjects `json:",omitempty"`
}

// walkFrom returns a walk that continues at a cursor; "": from the start.
func (b *bucket) walkFrom(cursor string) (*walk, error) {
	w := &walk{b: b, in: ListObjects{Prefix: b.prefix, Max: listPage}}
	if cursor == "" {
		return w, nil
	}
	var at walkCursor
	if err := json.Unmarshal([]byte(cursor), &at); err != nil || len(at.Lengths) != len(at.Pending) {
		return nil, fmt.Errorf("s3store: %q is no cursor", cursor)
	}
	w.in.After, w.pending = b.prefix+at.After, at.Pending
	for i, n := range at.Lengths {
		if n < 0 || n > len(at.After) {
			return nil, fmt.Errorf("s3store: %q is no cursor", cursor)
		}
		w.pending[i].id = at.After[:n]
	}
	return w, nil
}

// cursor returns the position behind the last object that was taken; "": no object follows.
func (w *walk) cursor() (string, error) {
	if w.last && len(w.objects) == 0 {
		return "", nil
	}
	at := walkCursor{After: strings.TrimPrefix(w.in.After, w.b.prefix), Pending: w.pending}
	for _, o := range w.pending {
		at.Lengths = append(at.Lengths, len(o.id))
	}
	text, err := json.Marshal(at)
	return string(text), err
}

// next returns the objects of the next id; ok is false at the end. Those without a record
// come when no record can come any more.
func (w *walk) next(ctx context.Context) (o listedObjects, ok bool, err error) {
	for len(w.done) == 0 {
		if len(w.objects) == 0 {
			if w.last {
				w.done, w.pending = w.pending, nil
				if len(w.done) == 0 {
					return o, false, nil
				}
				break
			}
			page, err := w.b.list(ctx, w.in)
			if err != nil {
				return o, false, err
			}
			w.objects, w.last = page.Objects, !page.More
			continue
		}
		w.take(w.objects[0])
		w.objects = w.objects[1:]
	}
	o, w.done = w.done[0], w.done[1:]
	return o, true, nil
}

// take takes the next object of the listing.
func (w *walk) take(o ListedObject) {
	w.in.After = o.Key
	name, ok := strings.CutPrefix(o.Key, w.b.prefix)
	if !ok {
		return
	}
	w.pending = slices.DeleteFunc(w.pending, func(p listedObjects) bool {
		over := !strings.HasPrefix(name, p.id)
		if over {
			w.done = append(w.done, p)
		}
		return over
	})
	if id, ok := w.b.idOf(o.Key); ok {
		p := w.takePending(id)
		p.hasRecord, p.etag, p.size = true, o.ETag, o.Size
		p.Changed = later(p.Changed, o.Modified)
		w.done = append(w.done, p)
		return
	}
	if id, start, ok := splitTailName(name); ok && tusd.ValidateID(id) == nil {
		p := w.pendingOf(id)
		if end := start + o.Size; p.Tails == 0 || end < p.TailEnd {
			p.TailEnd = end
		}
		p.Tails++
		p.Changed = later(p.Changed, o.Modified)
	} else if tusd.ValidateID(name) == nil {
		p := w.pendingOf(name)
		p.HasData, p.DataSize = true, o.Size
		p.Changed = later(p.Changed, o.Modified)
	}
}

// takePending removes the objects of an id from those that are pending.
func (w *walk) takePending(id string) listedObjects {
	p := *w.pendingOf(id)
	w.pending = slices.DeleteFunc(w.pending, func(q listedObjects) bool { return q.id == id })
	return p
}

// pendingOf returns the pending objects of an id, which is a prefix of the current name.
func (w *walk) pendingOf(id string) *listedObjects {
	i := slices.IndexFunc(w.pending, func(p listedObjects) bool { return p.id == id })
	if i < 0 {
		i = len(w.pending)
		w.pending = append(w.pending, listedObjects{id: id})
	}
	return &w.pending[i]
}
