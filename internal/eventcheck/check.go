package eventcheck

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Upload is what is known of an upload at the end.
type Upload struct {
	Finished bool // it is complete, or was before its removal
	Removed  bool
}

// maxShown is how many errors Check shows.
const maxShown = 5

// Check compares the calls with the uploads that a store has, or had, by their ids. Every event of
// each upload was accepted, in order, and none that did not happen. An upload that is not in the map
// never existed. asked means that each finish had a pre-finish.
func (e *Endpoint) Check(uploads map[string]Upload, asked bool) error {
	calls, broken := e.byUpload()
	errs := []error{broken}
	for id, u := range uploads {
		errs = append(errs, u.check(id, calls[id], asked))
		delete(calls, id)
	}
	for _, id := range slices.Sorted(maps.Keys(calls)) {
		if !isUnbuilt(calls[id]) {
			errs = append(errs, failure(id, calls[id], "no store ever had this upload"))
		}
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > maxShown {
		errs = append(errs[:maxShown], fmt.Errorf("and %d further errors", len(errs)-maxShown))
	}
	return errors.Join(errs...)
}

// isUnbuilt reports whether the upload was a final that was removed before its client knew of it.
func isUnbuilt(calls []Call) bool {
	return slices.ContainsFunc(calls, func(c Call) bool { return c.Event.Reason == "unbuilt" })
}

// byUpload returns the calls about each upload, in order, and an error if one could not be read.
func (e *Endpoint) byUpload() (calls map[string][]Call, broken error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls = make(map[string][]Call)
	for _, c := range e.accepted {
		calls[c.Event.Upload.ID] = append(calls[c.Event.Upload.ID], c)
	}
	return calls, e.broken
}

func failure(id string, calls []Call, text string) error {
	var list strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&list, "\n\t%v", c)
	}
	return fmt.Errorf("upload %s: %s; accepted:%s", id, text, list.String())
}

// check checks the calls of one upload.
func (u Upload) check(id string, calls []Call, asked bool) error {
	first := func(t string) int { return slices.IndexFunc(calls, func(c Call) bool { return c.Type == t }) }
	create, finish, terminate := first("post-create"), first("post-finish"), first("post-terminate")
	agreed := slices.IndexFunc(calls, func(c Call) bool { return c.Type == "pre-finish" && c.Answered })
	var text string
	switch {
	case create < 0:
		text = "no post-create"
	case u.Finished && finish < 0:
		text = "is finished, but has no post-finish"
	case !u.Finished && finish >= 0:
		text = "is not finished, but has post-finish"
	case u.Removed && terminate < 0:
		text = "is removed, but has no post-terminate"
	case !u.Removed && terminate >= 0:
		text = "is not removed, but has post-terminate"
	case finish >= 0 && finish < create:
		text = "post-finish before post-create"
	case terminate >= 0 && terminate < max(create, finish):
		text = "post-terminate before an earlier event"
	case asked && finish >= 0 && (agreed < 0 || agreed > finish):
		text = "post-finish before pre-finish has succeeded"
	case terminate >= 0 && newAfter(calls, terminate) != "":
		text = newAfter(calls, terminate) + " after post-terminate"
	case !sameIDs(calls):
		text = "an event was repeated with another id"
	case finish >= 0 && calls[finish].Event.Upload.Offset != calls[finish].Event.Upload.Size:
		text = "post-finish has the offset of an unfinished upload"
	default:
		return nil
	}
	return failure(id, calls, text)
}

// newAfter returns the type of an event behind calls[last] that is no repetition of an earlier
// one, "" if there is none.
func newAfter(calls []Call, last int) string {
	for i := last + 1; i < len(calls); i++ {
		if !slices.ContainsFunc(calls[:i], func(c Call) bool { return c.Event.ID == calls[i].Event.ID }) {
			return calls[i].Type
		}
	}
	return ""
}

// sameIDs reports whether all events of each type have the same id, except those that may come
// several times.
func sameIDs(calls []Call) bool {
	ids := make(map[string]string)
	for _, c := range calls {
		if c.Event.Sequence == 0 {
			continue
		}
		if id, ok := ids[c.Type]; ok && id != c.Event.ID || c.Event.ID == "" {
			return false
		}
		ids[c.Type] = c.Event.ID
	}
	return true
}
