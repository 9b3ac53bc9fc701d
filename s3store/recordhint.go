package s3store

import (
	"bytes"

	"github.com/tus/tusd"
)

// A record is padded with spaces so that its size tells a hint about the upload: a listing
// shows sizes, and reading a record costs a call. The hint only decides which records are
// read, the record decides everything else.
//
// Records of tusd v2 and of earlier versions are not padded. minHinted keeps most of them
// from having a hint by chance.
const (
	hintModulus = 256
	minHinted   = 1024 // bytes; smaller records have no hint
)

// recordHint is the size of a record modulo hintModulus.
type recordHint int64

// The hints. All other values mean that nothing is known.
const (
	hintNone      recordHint = iota
	hintOrdinary             // the data key is that of the listing, and the data object is not recorded
	hintPartial              // of a partial upload that has not failed
	hintFailed               // the upload has failed
	hintComplete             // the upload is complete
	hintElsewhere            // like hintOrdinary, with another data key
	hintRemoving             // the upload is being removed
)

// hintOf returns the hint for the record of a state.
func hintOf(st *state) recordHint {
	switch {
	case st.layout.Removed:
		return hintRemoving
	case st.info.State == tusd.StateFailed:
		return hintFailed
	case st.info.IsPartial:
		return hintPartial
	case st.info.State == tusd.StateComplete, st.info.State == "" && st.layout.ETag != "":
		return hintComplete
	case st.isDataBesideRecord():
		return hintOrdinary
	}
	return hintElsewhere
}

// padded returns a record with spaces behind it, so that its size tells the hint.
func (h recordHint) padded(stored []byte) []byte {
	size := max(int64(len(stored)), minHinted)
	size += (int64(h) - size%hintModulus + hintModulus) % hintModulus
	return append(stored, bytes.Repeat([]byte(" "), int(size)-len(stored))...)
}

// hintFromSize is the inverse of padded.
func hintFromSize(size int64) recordHint {
	if h := recordHint(size % hintModulus); size >= minHinted && h <= hintRemoving {
		return h
	}
	return hintNone
}

// classes returns the classes that an upload with this hint may have. hasData says whether
// a data object lies beside the record, hasTail whether tail objects do.
func (h recordHint) classes(hasData, hasTail bool) []tusd.UploadClass {
	switch h {
	case hintPartial:
		return []tusd.UploadClass{tusd.ClassPartial, tusd.ClassWaiting}
	case hintFailed:
		return []tusd.UploadClass{tusd.ClassFailed}
	case hintComplete:
		return []tusd.UploadClass{tusd.ClassComplete}
	case hintElsewhere:
		return []tusd.UploadClass{tusd.ClassNeverStarted, tusd.ClassUnfinished, tusd.ClassWaiting, tusd.ClassComplete}
	case hintOrdinary:
		if hasData && !hasTail {
			return []tusd.UploadClass{tusd.ClassWaiting, tusd.ClassComplete}
		}
		if !hasData {
			return []tusd.UploadClass{tusd.ClassNeverStarted, tusd.ClassUnfinished, tusd.ClassWaiting}
		}
	}
	// A record that another version has stored may have the size of any hint: hintRemoving
	// excludes nothing.
	if hasData && !hasTail {
		return []tusd.UploadClass{tusd.ClassPartial, tusd.ClassComplete, tusd.ClassFailed, tusd.ClassWaiting}
	}
	return tusd.AllClasses
}
