package storetest

import (
	"slices"
	"testing"

	"github.com/tus/tusd/internal/contract"
)

func readContract(t *testing.T, path string) *contract.File {
	f, err := contract.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCasesQuoteTheContract keeps what a failing case prints in step with the
// contract.
func TestCasesQuoteTheContract(t *testing.T) {
	store, composer, locker := readContract(t, "../datastore.go"), readContract(t, "../composer.go"), readContract(t, "../locker.go")
	seen := make(map[string]bool)
	for _, c := range suite() {
		if !store.Says(c.promise) && !composer.Says(c.promise) && !locker.Says(c.promise) {
			t.Errorf("case %s checks a sentence that the contract does not have: %s", c.name, c.promise)
		}
		if seen[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		seen[c.name] = true
	}
}

// Reasons why a sentence can have no case here.
const (
	definition = "says what a thing is"
	guarantee  = "is a duty of callers, which the suite fulfils"
	noRoom     = "needs a full disk: tests of the store"
	powerCut   = "needs a power cut: tests of the daemon"
)

// uncheckable are sentences of the contract that no suite can check from
// outside.
var uncheckable = map[string]string{
	"A store may rely on this: no two leases on one id are held at the same time within the Scope of the composed Locker, and everything that changes an upload is called by the holder of its lease.": guarantee,
	"Ids own their bytes: a store may keep them without keeping the request alive.":                                                                                                                    guarantee,
	"A place, chosen by a hook or made of what the client says, where the store cannot keep the upload gives ErrInvalidName.":                                                                          "which places these are is the backend's",
	"Errors: ErrNotFound, ErrUploadExists, ErrNoSpace, ErrNoLease have meaning.":                                                                                                                       definition,
	"A store translates what it understands at its border, keeping the cause (ErrNotFound.With(err)).":                                                                                                 definition,
	"Every other error is taken for trouble that passes: the client is told to come back, never to throw its upload away.":                                                                             guarantee,
	"Open creates what is missing and probes what is there, so that the first upload does not have to find out.":                                                                                       "what may be missing is the backend's",
	"NewHandler calls it once, before any other method, and returns its error.":                                                                                                                        guarantee,
	"ctx bounds the probing.": "what is probed is the backend's",
	"The caller has checked info.ID (ValidateID) and the length, holds lease on the id, and has left Offset at 0.":                        guarantee,
	"A length that the store cannot take for lack of room gives ErrNoSpace at once, and one that it could never take ErrMaxSizeExceeded.": noRoom,
	"If there is no room for all of final: ErrNoSpace, before a byte is copied.":                                                          noRoom,
	"Blocks that the store might share are not counted on.":                                                                               noRoom,
	"If there is no room for the bytes that are missing: ErrNoSpace, or ErrMaxSizeExceeded if there never is; nothing changes.":           noRoom,
	"GetUpload loads an upload.": definition,
	"Upload is one upload as loaded by NewUpload or GetUpload, bound to the lease that was given there.":                                                                         definition,
	"Offset may be shown to a client: whatever the store's level promises to hold for an offset that was shown holds when GetInfo returns, so this may have to wait for a disk.": powerCut,
	"What \"for good\" means is the store's durability level.":                                                                                                                   powerCut,
	"A full store keeps what fits and returns ErrNoSpace.":                                                                                                                       noRoom,
	"Terminater removes uploads (tus 1.0, Termination).":                                                                                                                         definition,
	"The caller holds lease.":                          guarantee,
	"Concater joins uploads (tus 1.0, Concatenation).": definition,
	"All were returned by this store under leases that the caller holds, the partials are full, and final's Size is the sum.": guarantee,
	"ContentServer serves downloads with ranges and conditional requests.":                                                    definition,
	"Lister enumerates uploads, for clean-up and administration.":                                                             definition,
	"Rewinder takes back a chunk whose checksum came last, was not announced, and is wrong (tus 1.0, Checksum).":              definition,
	"If so, a chunk is read again when its checksum has come.":                                                                guarantee,
	"If not, all hashes that there are run along with each chunk that may end with a checksum.":                               guarantee,
	"As durable as WriteChunk.": powerCut,
	"If the process dies before that, they may stay: their client has no answer.":                                                                                    powerCut,
	"src answers that only after it has verified what it delivered.":                                                                                                 guarantee,
	"If the process or machine dies before the call has returned, all of the chunk is part of the upload or nothing, and all of it only if src had answered io.EOF.": powerCut,
}

// TestEverySentenceHasACase holds the suite to the contract's interfaces: a
// new sentence needs a case, or a reason why it can have none.
func TestEverySentenceHasACase(t *testing.T) {
	all := readContract(t, "../datastore.go").Sentences()
	var promises []string
	for _, c := range suite() {
		promises = append(promises, c.promise)
	}
	for _, s := range contract.Unchecked(all, promises) {
		if uncheckable[s] == "" {
			t.Errorf("no case checks: %s", s)
		}
	}
	for s := range uncheckable {
		if !slices.Contains(all, s) {
			t.Errorf("the contract no longer says: %s", s)
		}
	}
}
