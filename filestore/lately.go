package filestore

import "sync"

// maxLately is how many complete uploads are remembered as well as those that
// go on.
const maxLately = 256

// lately has the ids of uploads that were found complete, the last ones. The
// zero value is ready to use.
type lately struct {
	mu   sync.Mutex
	ids  [maxLately]string
	next int
}

// add puts id in the place of the oldest one, which it returns; "" is none.
func (l *lately) add(id string) (oldest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids[(l.next+maxLately-1)%maxLately] == id { // somebody asks for it again and again
		return ""
	}
	oldest, l.ids[l.next] = l.ids[l.next], id
	l.next = (l.next + 1) % maxLately
	return oldest
}

// forgetLater is told of an upload that is complete. Hardly any requests
// follow, but a HEAD or a GET may at once. When some others have become
// complete, its record is forgotten and, unless it spares a sync, its mark:
// tables with nothing in them but what goes on are small, and quick to look into.
func (v *volume) forgetLater(id string) {
	oldest := v.complete.add(id)
	if oldest == "" {
		return
	}
	v.decoded.forget(oldest)
	if v.level == None { // else the mark spares a sync
		v.marks.spare(oldest)
	}
}
