package tusd

// StoreComposer names the implementation of each ability. A nil ability is
// neither served nor advertised. Fill it before NewHandler and do not change it
// afterwards.
type StoreComposer struct {
	Core           DataStore
	Terminater     Terminater     // nil: no termination
	Concater       Concater       // nil: no concatenation
	LengthDeferrer LengthDeferrer // nil: no creation-defer-length
	ContentServer  ContentServer  // nil: downloads are plain streams without ranges
	Lister         Lister         // nil: nothing can be swept or listed
	SideRecords    SideRecords    // nil: kept in memory, lost at a restart
	AtomicWriter   AtomicWriter   // nil: chunks with checksums need Config.ChecksumSpool
	Tidier         Tidier         // nil: leftovers stay
	Verifier       Verifier       // nil: only the handler's own checks
	Rewinder       Rewinder       // nil: a wrong checksum in an unannounced trailer fails the upload if its content is stored
	Locker         Locker         // nil: a LocalLocker
}

// NewStoreComposer returns an empty composer.
func NewStoreComposer() *StoreComposer { return &StoreComposer{} }

// UseCore sets the store and every ability that it implements. An ability that it
// does not implement becomes nil. A store that wraps another has exactly the
// abilities that it implements itself: the composer does not unwrap it.
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
	c.Tidier, _ = core.(Tidier)
	c.Verifier, _ = core.(Verifier)
}

// UseLocker sets the locker.
func (c *StoreComposer) UseLocker(locker Locker) { c.Locker = locker }
