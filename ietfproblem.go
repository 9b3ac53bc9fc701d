package tusd

import (
	"encoding/json"
	"fmt"
)

// offsetMembers are the members of the problem "mismatching upload offset".
type offsetMembers struct {
	Expected int64 `json:"expected-offset"`
	Provided int64 `json:"provided-offset"`
}

// problemDetails is the content of an error answer (RFC 9457).
type problemDetails struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	*offsetMembers
}

// problem returns the content of the answer to an error, with the problem types of the
// draft.
func (d *ietfDialect) problem(x *exchange, e *Error, status int) string {
	p := problemDetails{Type: "about:blank", Title: e.Message, Status: status, Code: e.Code, offsetMembers: x.offsets}
	switch {
	case e.Is(ErrMismatchedOffset):
		p.Type = problemTypes + "mismatching-upload-offset"
	case e.Is(ErrInconsistentLength):
		p.Type = problemTypes + "inconsistent-upload-length"
	case e.Is(ErrUploadCompleted) && d.completedTwice:
		p.Type = problemTypes + "completed-upload"
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Sprintf(`{"type":"about:blank","status":%d}`, status)
	}
	return string(body) + "\n"
}
