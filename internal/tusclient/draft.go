package tusclient

import "fmt"

// PartialUpload is the Content-Type of an append in the IETF draft.
const PartialUpload = "Content-Type: application/partial-upload"

// Interop is a version of the IETF draft, 3 to 9. 0 is a client that names none.
type Interop int

// Newest is the version of the newest draft.
const Newest Interop = 9

// Mark is the header line that names the version.
func (v Interop) Mark() string { return fmt.Sprint("Upload-Draft-Interop-Version: ", int(v)) }

// Header is what every request of this version carries, and more.
func (v Interop) Header(more ...string) []string {
	if v == 0 {
		return more
	}
	return append([]string{v.Mark()}, more...)
}

// CompleteField is the header field that tells whether an upload is complete.
func (v Interop) CompleteField(complete bool) (name, value string) {
	name = "Upload-Complete"
	if v == 3 {
		name, complete = "Upload-Incomplete", !complete
	}
	if complete {
		return name, "?1"
	}
	return name, "?0"
}

// Complete is CompleteField as a header line.
func (v Interop) Complete(complete bool) string {
	name, value := v.CompleteField(complete)
	return name + ": " + value
}

// AppendHeader is the header of a PATCH at offset, without the mark. A version that
// takes any media type is not given one.
func (v Interop) AppendHeader(offset int64, complete bool, more ...string) []string {
	header := append(more, fmt.Sprint("Upload-Offset: ", offset), v.Complete(complete))
	if v == 0 || v >= 6 {
		header = append(header, PartialUpload)
	}
	return header
}
