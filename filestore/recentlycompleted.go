package filestore

import "sync"

// maxRecentlyCompleted is how many complete uploads are remembered as well as those that
// go on.
const maxRecentlyCompleted = 256

// recentlyCompleted has the ids of uploads that were found complete, the last ones. The
// zero value is ready to use.
type recentlyCompleted struct {
	mu   sync.Mutex
	ids  [maxRecentlyCompleted]string
	next int
}

// add puts id in the place of the oldest one, which it returns; "" is none.
func (l *recentlyCompleted) add(id string) (oldest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids[(l.next+maxRecentlyCompleted-1)%maxRecentlyCompleted] == id { // somebody asks for it again and again
		return ""
	}
	oldest, l.ids[l.next] = l.ids[l.next], id
	l.next = (l.next + 1) % maxRecentlyCompleted
	return oldest
}

// rememberCompleted is told of an upload that is complete. Hardly any requests
// follow, but a HEAD or a GET may at once. When some others have become
// complete, its record is forgotten and, unless it spares a sync, its mark:
// tables with nothing in them but what goes on are small, and quick to look into.
func (v *volume) rememberCompleted(id string) {
	oldest := v.recentlyCompleted.add(id)
	if oldest == "" {
		return
	}
	v.decoded.forget(oldest)
	if v.level == None { // else the mark spares a sync
		v.syncStates.spare(oldest)
	}
}
