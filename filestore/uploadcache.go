package filestore

import (
	"bytes"
	"sync"
	"time"
	"unsafe"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	// uploadsBudget bounds the memory for cached uploads without their records, in
	// bytes: some 40 000 uploads. An eviction costs a sync.
	uploadsBudget = 12 << 20
	// recordsBudget bounds the memory for their records, in bytes: some 1 500 usual
	// ones. An eviction costs reading and decoding the record.
	recordsBudget = 4 << 20
	// maxRecentlyCompleted is the number of complete uploads with records in the
	// cache.
	maxRecentlyCompleted = 256
)

// uploadCache has one entry for each cached upload: its sync state and its record. An
// eviction is always safe. Entries of uploads that are being written or must be cut are
// never evicted. Within both budgets the least recently used entries are evicted first.
type uploadCache struct {
	mu      sync.Mutex
	index   map[string]int32 // to entries
	entries []cachedUpload   // not pointers: an upload costs no allocation. 0 is unused
	free    []int32          // unused entries
	changes uint64           // of sync states

	uses, recordUses   usageOrder // of entries, and of those with records
	bytes, recordBytes int64      // of the budgets

	completed     [maxRecentlyCompleted]string // ring of ids
	nextCompleted int
}

// cachedUpload is an entry. Each of its three facts may be missing; an entry
// without any is removed.
type cachedUpload struct {
	id    string
	state syncState // change is 0: unknown
	// fullSynced is the time of the last change of the data when the full upload
	// was synced; zero: it was not.
	fullSynced time.Time

	record     *tusd.FileInfo // nil: unknown. Shared, never changed
	content    []byte         // of the record's file
	stamp      durable.Stamp  // of that file, if it was read under a lease
	recordSize int64          // of recordsBudget
}

func newUploadCache() *uploadCache {
	c := &uploadCache{index: make(map[string]int32), entries: make([]cachedUpload, 1)}
	c.uses.grow(1)
	c.recordUses.grow(1)
	return c
}

// trustedState returns the sync state of id if no other process can have changed
// the upload since the state was set. Changes of this process always set it. If the
// scope of the locker is the machine, the state is trusted only by the holder of the
// same grant, or of the next grant.
func (c *uploadCache) trustedState(id string, scope tusd.Scope, lease tusd.Lease) (syncState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trusted(c.get(id), scope, lease)
}

// peekState is trustedState and does not count as a use, which would keep id in the cache in
// place of others.
func (c *uploadCache) peekState(id string, scope tusd.Scope, lease tusd.Lease) (syncState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index[id]
	if !ok {
		return syncState{}, false
	}
	return c.trusted(&c.entries[i], scope, lease)
}

// trusted is trustedState of an entry, which may be nil. The caller holds c.mu.
func (c *uploadCache) trusted(u *cachedUpload, scope tusd.Scope, lease tusd.Lease) (syncState, bool) {
	if u == nil || u.state.change == 0 {
		return syncState{}, false
	}
	if scope == tusd.ScopeProcess {
		return u.state, true
	}
	if lease == nil {
		return syncState{}, false
	}
	n, before := lease.Fence()
	if u.state.grant == 0 || u.state.grant != n && u.state.grant != before {
		return syncState{}, false
	}
	u.state.grant = n
	return u.state, true
}

// setState sets the sync state of id. The caller holds lease.
func (c *uploadCache) setState(id string, lease tusd.Lease, s syncState) {
	s.grant, _ = lease.Fence()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	s.change = c.changes
	c.getOrAdd(id).state = s
}

// invalidateState removes the cached state of the files of id, but not its record.
func (c *uploadCache) invalidateState(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.get(id); u != nil {
		u.state, u.fullSynced = syncState{}, time.Time{}
		c.removeIfEmpty(u)
	}
}

// isFullSynced reports whether this process has synced the full upload id while its
// data was last modified at modified. Full data does not change, so this is valid
// without a lease, and whatever other processes do: downloads need no sync.
func (c *uploadCache) isFullSynced(id string, modified time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.get(id)
	return u != nil && !u.fullSynced.IsZero() && u.fullSynced.Equal(modified)
}

// setFullSynced makes isFullSynced true.
func (c *uploadCache) setFullSynced(id string, modified time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.getOrAdd(id).fullSynced = modified
}

// stampedRecord returns the record of id and the stamp of the file that it was read
// from. It returns nil if the file must be read: the sync state is not trusted, or
// this process has changed the record. If the file still has this stamp, no other program
// has changed it either.
func (c *uploadCache) stampedRecord(id string, scope tusd.Scope, lease tusd.Lease) (*tusd.FileInfo, durable.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.get(id)
	if _, ok := c.trusted(u, scope, lease); !ok || u.stamp == (durable.Stamp{}) {
		return nil, durable.Stamp{}
	}
	c.recordUses.use(c.index[id])
	return u.record, u.stamp
}

// decodedRecord returns the record of id if it was decoded from the same content,
// and nil otherwise. The result is shared and must not be changed.
func (c *uploadCache) decodedRecord(id string, content []byte) *tusd.FileInfo {
	record, decoded := c.recordAndContent(id)
	if record == nil || !bytes.Equal(decoded, content) {
		return nil
	}
	return record
}

func (c *uploadCache) recordAndContent(id string) (*tusd.FileInfo, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.get(id)
	if u == nil || u.record == nil {
		return nil, nil
	}
	c.recordUses.use(c.index[id])
	return u.record, u.content
}

// addRecord replaces the record of an upload by one that was decoded from content.
// Both are shared from now on. stamp may be zero. A record that would take more than
// an eighth of the budget is not kept.
func (c *uploadCache) addRecord(record *tusd.FileInfo, content []byte, stamp durable.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := recordSize(record, content)
	if size > recordsBudget/8 {
		if u := c.get(record.ID); u != nil {
			c.dropRecord(u)
			c.removeIfEmpty(u)
		}
		return
	}
	u := c.getOrAdd(record.ID)
	c.dropRecord(u)
	c.recordBytes += size
	c.evictRecords()
	u.record, u.content, u.stamp, u.recordSize = record, content, stamp, size
	c.recordUses.add(c.index[u.id])
}

// confirmRecord sets the stamp of the file that record was read from. The caller
// holds the lease. It does nothing if the entry has another record by now: a reader
// without a lease may have added an older one.
func (c *uploadCache) confirmRecord(record *tusd.FileInfo, stamp durable.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.get(record.ID); u != nil && u.record == record {
		u.stamp = stamp
	}
}

// invalidateRecord makes the next load read the record of id. The caller holds the
// lease and is going to change the record.
func (c *uploadCache) invalidateRecord(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.get(id); u != nil {
		u.stamp = durable.Stamp{}
	}
}

// rememberCompleted records that an upload is complete. Few requests follow, most of them
// soon. After maxRecentlyCompleted other uploads its record is evicted; its sync state,
// too, unless keepState is set: at level None it saves no sync.
func (c *uploadCache) rememberCompleted(id string, keepState bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := (c.nextCompleted + maxRecentlyCompleted - 1) % maxRecentlyCompleted
	if c.completed[last] == id { // repeated requests for one upload
		return
	}
	oldest := c.completed[c.nextCompleted]
	c.completed[c.nextCompleted] = id
	c.nextCompleted = (c.nextCompleted + 1) % maxRecentlyCompleted
	u := c.get(oldest)
	if u == nil {
		return
	}
	c.dropRecord(u)
	if !keepState && !u.state.isPinned() {
		u.state = syncState{}
	}
	c.removeIfEmpty(u)
}

// get returns the entry of id, or nil. It is valid until the next getOrAdd. The
// caller of this and the following methods holds c.mu.
func (c *uploadCache) get(id string) *cachedUpload {
	i, ok := c.index[id]
	if !ok {
		return nil
	}
	c.uses.use(i)
	return &c.entries[i]
}

// getOrAdd is get, and adds an entry if there is none. The caller fills it in.
func (c *uploadCache) getOrAdd(id string) *cachedUpload {
	if u := c.get(id); u != nil {
		return u
	}
	c.bytes += entrySize(id)
	c.evictUploads()
	if len(c.free) == 0 {
		c.free = append(c.free, int32(len(c.entries)))
		c.entries = append(c.entries, cachedUpload{})
		c.uses.grow(len(c.entries))
		c.recordUses.grow(len(c.entries))
	}
	i := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.index[id] = i
	c.uses.add(i)
	c.entries[i] = cachedUpload{id: id}
	return &c.entries[i]
}

// entrySize is what an entry takes of uploadsBudget. The tables grow by half ahead
// of their content.
func entrySize(id string) int64 {
	table := unsafe.Sizeof(cachedUpload{}) + unsafe.Sizeof(id) + 2*unsafe.Sizeof(int32(0)) + 2*unsafe.Sizeof(neighbours{})
	return int64(table+table/2) + int64(len(id))
}

// recordSize is what a record takes of recordsBudget.
func recordSize(record *tusd.FileInfo, content []byte) int64 {
	return int64(cap(content)) + int64(unsafe.Sizeof(*record)) + int64(record.MemorySize())
}

// maxPinnedTries is the number of pinned entries that one eviction skips. If it finds no
// others, the cache stays beyond its budget until the next one.
const maxPinnedTries = 16

// evictUploads removes entries until the budget holds.
func (c *uploadCache) evictUploads() {
	for tries := 0; c.bytes > uploadsBudget && len(c.index) > 0 && tries < maxPinnedTries; {
		oldest := c.uses.oldest()
		if c.entries[oldest].state.isPinned() {
			c.uses.use(oldest)
			tries++
			continue
		}
		c.remove(&c.entries[oldest])
	}
}

// evictRecords drops records until the budget holds.
func (c *uploadCache) evictRecords() {
	for c.recordBytes > recordsBudget {
		u := &c.entries[c.recordUses.oldest()]
		c.dropRecord(u)
		c.removeIfEmpty(u)
	}
}

// dropRecord removes the record of an entry, which may have none.
func (c *uploadCache) dropRecord(u *cachedUpload) {
	if u.record == nil {
		return
	}
	c.recordUses.remove(c.index[u.id])
	c.recordBytes -= u.recordSize
	u.record, u.content, u.stamp, u.recordSize = nil, nil, durable.Stamp{}, 0
}

func (c *uploadCache) removeIfEmpty(u *cachedUpload) {
	if u.state.change == 0 && u.fullSynced.IsZero() && u.record == nil {
		c.remove(u)
	}
}

func (c *uploadCache) remove(u *cachedUpload) {
	c.dropRecord(u)
	i := c.index[u.id]
	c.uses.remove(i)
	c.bytes -= entrySize(u.id)
	c.free = append(c.free, i)
	delete(c.index, u.id)
	*u = cachedUpload{}
}

// usageOrder is a ring of entries, from the least to the most recently used. It
// begins and ends at 0.
type usageOrder []neighbours

type neighbours struct{ older, newer int32 }

// grow makes space for the entries below n.
func (o *usageOrder) grow(n int) { *o = append(*o, make([]neighbours, n-len(*o))...) }

// oldest returns the least recently used entry; 0 is none.
func (o usageOrder) oldest() int32 { return o[0].newer }

// add makes i, which is not in the ring, the most recently used entry.
func (o usageOrder) add(i int32) {
	newest := o[0].older
	o[i] = neighbours{older: newest, newer: 0}
	o[newest].newer, o[0].older = i, i
}

func (o usageOrder) remove(i int32) {
	at := o[i]
	o[at.older].newer, o[at.newer].older = at.newer, at.older
}

// use makes i the most recently used entry.
func (o usageOrder) use(i int32) {
	o.remove(i)
	o.add(i)
}
