// Package storetest proves that a store keeps the contract of package tusd.
//
// Run runs a small case for every sentence of the contract: on a new store, after a
// restart, with a fault of Faults at each operation, and through a tusd.Handler. The test
// of a store is a Harness:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New:    newStore, // a fresh, empty store in a composer
//			Reopen: reopen,   // the same data as after a restart
//			Claims: storetest.Terminate | storetest.Concat,
//		})
//	}
//
// Memory is the reference: a simple store that has every ability and keeps the whole
// contract. Handlers and wrappers are tested with it. Content is test data that is
// computed and not stored, so uploads may have any size.
package storetest
