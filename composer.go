package tusd

// StoreComposer says which part does what. A nil ability is neither served
// nor advertised. Fill it before NewHandler; it is not to be changed after.
type StoreComposer struct {
	Core           DataStore
	Terminater     Terminater     // nil: no termination
	Concater       Concater       // nil: no concatenation
	LengthDeferrer LengthDeferrer // nil: no creation-defer-length
	ContentServer  ContentServer  // nil: downloads are plain streams without ranges
	Lister         Lister         // nil: nothing can be swept or listed
	SideRecords    SideRecords    // nil: kept in memory, forgotten by a restart
	AtomicWriter   AtomicWriter   // nil: chunks with checksums need a spool
	Rewinder       Rewinder       // nil: an upload fails if content is stored when its checksum proves wrong
	Locker         Locker         // nil: a LocalLocker
}

// NewStoreComposer returns an empty composer.
func NewStoreComposer() *StoreComposer { return &StoreComposer{} }

// UseCore makes core the store and takes over every ability it has, replacing
// what was set. A store that wraps another has exactly the abilities that it
// implements itself: nothing looks through a wrapper.
func (c *StoreComposer) UseCore(core DataStore) {
	c.Core = core
	c.Terminater, _ = core.(Terminater)
	c.Concater, _ = core.(Concater)
	c.LengthDeferrer, _ = core.(LengthDeferrer)
	c.ContentServer, _ = core.(ContentServer)
	c.Lister, _ = core.(Lister)
	c.SideRecords, _ = core.(SideRecords)
	c.AtomicWriter, _ = core.(AtomicWriter)
	c.Rewinder, _ = core.(Rewinder)
}

// UseLocker makes locker the lock.
func (c *StoreComposer) UseLocker(locker Locker) { c.Locker = locker }
