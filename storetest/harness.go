package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// Claims is the set of abilities that a store claims. Claimed abilities are tested. Others
// must be absent: neither served nor advertised.
type Claims uint

// One claim for each ability of a tusd.StoreComposer.
const (
	Terminate Claims = 1 << iota
	Concat
	DeferLength
	ServeContent
	List
	SideRecords
	WriteAtomic
	Rewind
	Tidy
	Verify

	Everything = Terminate | Concat | DeferLength | ServeContent | List | SideRecords | WriteAtomic | Rewind | Tidy | Verify
)

// claimsOf returns the abilities of a composer.
func claimsOf(c *tusd.StoreComposer) Claims {
	var claims Claims
	for claim, there := range map[Claims]bool{
		Terminate:    c.Terminater != nil,
		Concat:       c.Concater != nil,
		DeferLength:  c.LengthDeferrer != nil,
		ServeContent: c.ContentServer != nil,
		List:         c.Lister != nil,
		SideRecords:  c.SideRecords != nil,
		WriteAtomic:  c.AtomicWriter != nil,
		Rewind:       c.Rewinder != nil,
		Tidy:         c.Tidier != nil,
		Verify:       c.Verifier != nil,
	} {
		if there {
			claims |= claim
		}
	}
	return claims
}

// Harness makes a store for the suite and describes its differences from other stores.
// New, Reopen and Claims are required.
type Harness struct {
	// New makes a new, empty store that is not open, in a composer.
	// If its Locker is nil, the suite uses a tusd.LocalLocker. New registers its
	// clean-up with tb.Cleanup.
	New func(tb testing.TB) *tusd.StoreComposer
	// Reopen closes the store that New or Reopen has returned, and makes a store with the
	// same data that is not open, as after a restart of the process. The suite holds no
	// lease meanwhile.
	Reopen func(tb testing.TB, composer *tusd.StoreComposer) *tusd.StoreComposer
	// Claims are the abilities that the store must have.
	Claims Claims

	// Leftovers returns the names of leftovers: files, parts, multipart uploads
	// that belong to none of the uploads with these ids. It is called after
	// each case, when no call runs and no lease is held. nil: not possible.
	Leftovers func(tb testing.TB, composer *tusd.StoreComposer, ids []string) []string
	// Break damages the stored record of an upload. nil: not possible; the cases
	// about broken records are skipped.
	Break func(tb testing.TB, composer *tusd.StoreComposer, id string)
	// Leave puts leftovers into the store that Tidy removes, and that have not changed for a
	// day. nil: not possible, or there are none.
	Leave func(tb testing.TB, composer *tusd.StoreComposer)

	// Unreadable means that the store can read full uploads only. Of other uploads the
	// suite compares the offset at once, and the bytes at the end of the case, after it
	// has written the rest.
	Unreadable bool
	// LargestUpload is the size of the suite's largest upload, for backends with slow
	// writes; 0: 4 MiB.
	LargestUpload int64
	// SettleTime is the smallest time between two changes whose times differ in
	// the backend; 0: 50 ms.
	SettleTime time.Duration
	// Goroutines is the number of goroutines that the store may have between calls, in
	// addition to those right after Open, for example for idle connections.
	Goroutines int
	// Descriptors is the same for open descriptors.
	Descriptors int
}

// Defaults of Harness.
const (
	defaultLargestUpload = 4 << 20
	defaultSettleTime    = 50 * time.Millisecond
)

func (h Harness) withDefaults() Harness {
	if h.LargestUpload == 0 {
		h.LargestUpload = defaultLargestUpload
	}
	if h.SettleTime == 0 {
		h.SettleTime = defaultSettleTime
	}
	return h
}

// testCase checks one rule of the contract.
type testCase struct {
	name  string // of the subtest
	rule  string // of the contract: a key of contract.Find; printed on failure
	needs Claims // run only if all of these are claimed
	run   func(e *env)
}

// runMutex is held by the Run that is running in this process.
var runMutex sync.Mutex

// Run tests a store against the contract of package tusd, each case as a subtest on a new
// store. It counts goroutines and descriptors of the whole process, so no other test
// should run at the same time; calls of Run in parallel tests wait for each other.
func Run(t *testing.T, h Harness) {
	runMutex.Lock()
	defer runMutex.Unlock()
	for _, c := range suite() {
		if h.Claims&c.needs == c.needs {
			t.Run(c.name, func(t *testing.T) { runCase(t, h, c) })
		}
	}
}

// suite returns all cases.
func suite() []testCase {
	return slices.Concat(claimCases, createCases, recordCases, idCases, writeCases, interruptCases,
		readCases, finishCases, terminateCases, concatCases, lengthCases, contentCases,
		listCases, tidyCases, verifyCases, sideCases, atomicCases, rewindCases, faultCases, handlerCases)
}

// runCase runs one case on a new store and checks for leftovers.
func runCase(tb testing.TB, h Harness, c testCase) {
	tb.Helper()
	defer func() {
		if tb.Failed() {
			tb.Logf("against the contract of package tusd: %s", c.rule)
		}
	}()
	e := newEnv(tb, h.withDefaults())
	defer e.release()
	c.run(e)
	e.readUnread()
	e.checkLeftovers()
}
