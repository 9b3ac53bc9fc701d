package tusd

import (
	"slices"
	"time"
)

// UploadClass is the class of an upload for listing and sweeping.
type UploadClass string

// The classes.
const (
	ClassNeverStarted UploadClass = "never-started" // incomplete, without a byte
	ClassUnfinished   UploadClass = "unfinished"    // incomplete, with bytes
	ClassPartial      UploadClass = "partial"       // partial uploads, complete or not
	ClassComplete     UploadClass = "complete"
	ClassFailed       UploadClass = "failed"  // can never become complete
	ClassWaiting      UploadClass = "waiting" // will be complete without a request: a final that is not built, an upload that is being finished
)

// Class returns the class of the upload.
func (i FileInfo) Class() UploadClass { return i.class() }

func (i *FileInfo) class() UploadClass {
	switch {
	case i.State == StateFailed:
		return ClassFailed
	case i.IsPartial && (i.isComplete() || !i.isFull()):
		return ClassPartial
	case i.isComplete():
		return ClassComplete
	case i.IsFinal, i.isFull(), i.State == StateFinishing:
		return ClassWaiting
	case i.Offset == 0:
		return ClassNeverStarted
	}
	return ClassUnfinished
}

// Includes reports whether the filter lets an upload into a listing. changed is the time of
// its last change, possible are the classes that it may have.
func (f ListFilter) Includes(changed time.Time, possible ...UploadClass) bool {
	if f.Before == nil {
		return true
	}
	return slices.ContainsFunc(possible, func(c UploadClass) bool {
		before, ok := f.Before[c]
		return ok && changed.Before(before)
	})
}

// AllClasses are the classes of an upload of which nothing is known.
var AllClasses = []UploadClass{ClassNeverStarted, ClassUnfinished, ClassPartial, ClassComplete, ClassFailed, ClassWaiting}
