package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

var idCases = []testCase{
	{"id/alphabet", "Locker: ValidateID", 0, idAlphabet},
	{"id/distinct", "DataStore: keeps uploads", 0, idsDistinct},
	{"id/parent-path", "Locker: ValidateID", 0, idParentPath},
}

// unusualIDs are ids that stores, or paths in HTTP, may handle wrongly.
func unusualIDs() []string {
	return []string{
		"a/b/c", "a+b", "a%2Fb", "%41", "100%", "~", "-", "_", "a.b", "...", "a..b", ".hidden",
		"!$'()*+,;=:@", "id=1;b", "info", "lock", "a.infos", "A", "x-part", "con", "nul.txt", "--help", "*",
		strings.Repeat("l", 240), strings.Repeat(strings.Repeat("d", 99)+"/", 8) + "end",
	}
}

func idAlphabet(e *env) {
	for i, id := range unusualIDs() {
		if err := tusd.ValidateID(id); err != nil {
			e.Fatalf("the suite uses an invalid id: %v", err)
		}
		size := int64(10 + i)
		e.createComplete(id, size)
		if got := e.info(e.view(id)).ID; got != id {
			e.Errorf("the upload %q has the ID %q", id, got)
		}
	}
	e.reopen()
	for i, id := range unusualIDs() {
		e.wantStored(id, int64(10+i))
	}
}

// idsDistinct tests ids that begin like others.
func idsDistinct(e *env) {
	ids := []string{"a", "aa", "a-", "a.b", "a_", "A"}
	if !e.distinguishesCase() {
		ids = ids[:len(ids)-1]
	}
	for i, id := range ids {
		e.write(e.create(id, 100), id, 0, int64(i+1))
	}
	for i, id := range ids {
		e.wantStored(id, int64(i+1))
	}
	if e.composer.Terminater == nil {
		return
	}
	e.must(e.composer.Terminater.Terminate(e.Context(), e.lease("a"), "a"))
	delete(e.exist, "a")
	e.wantGone("a")
	for i, id := range slices.Backward(ids) {
		if id != "a" {
			e.wantStored(id, int64(i+1))
		}
	}
}

// distinguishesCase reports whether the store distinguishes ids that differ in case only.
// Some file systems do not.
func (e *env) distinguishesCase() bool {
	e.create("Case", 1)
	_, err := e.store.GetUpload(e.Context(), nil, "cASE")
	return err != nil
}

// idParentPath tests an id that is a directory of another one. A store may refuse the
// second of the two, but the first must not change.
func idParentPath(e *env) {
	for i, pair := range [][2]string{{"p1", "p1/q"}, {"p2/q", "p2"}, {"p3/q/r", "p3/q"}} {
		first, second := pair[0], pair[1]
		e.createFull(first, int64(10+i))
		upload, err := e.store.NewUpload(e.Context(), e.lease(second), newInfo(second, 20))
		if err != nil {
			e.wantGone(second)
		} else {
			e.exist[second] = true
			e.write(upload, second, 0, 20)
			e.wantStored(second, 20)
		}
		e.wantStored(first, int64(10+i))
		e.checkSiblings(fmt.Sprintf("p%d/other", i+1))
	}
}

// checkSiblings checks that an unrelated id in the same directory is usable, or is
// refused and leaves nothing.
func (e *env) checkSiblings(id string) {
	if _, err := e.store.NewUpload(e.Context(), e.lease(id), newInfo(id, 1)); err != nil {
		e.wantGone(id)
		return
	}
	e.exist[id] = true
	e.wantStored(id, 0)
}
