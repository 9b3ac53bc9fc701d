// Package storetest proves that a store keeps the contract of package tusd.
//
// Run drives a store through one small case for every sentence of the
// contract: with the store as it is, after a restart, with the faults of
// Faults at every single operation, and behind a tusd.Handler. A store's own
// test is a Harness:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New:    newStore, // a fresh, empty store in a composer
//			Reopen: reopen,   // the same data as after a restart
//			Claims: storetest.Terminate | storetest.Concat,
//		})
//	}
//
// Memory is the reference: the simplest store that has every ability and
// keeps the whole contract. Handlers and wrappers are tested on it. Content is
// test data that needs no storage, so that sizes do not matter.
package storetest
