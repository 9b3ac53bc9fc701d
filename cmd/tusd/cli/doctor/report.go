// Package doctor tries out a storage, a bucket or a directory, and reports line
// by line what is missing. It leaves nothing behind.
package doctor

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Report writes a line for each result, which begins with ok, warning or
// missing. Its methods may be called concurrently.
type Report struct {
	mu       sync.Mutex
	w        io.Writer
	warnings int
	missing  int
}

// NewReport returns a report that goes to w.
func NewReport(w io.Writer) *Report { return &Report{w: w} }

// OK reports that subject is as it should be. detail may be empty.
func (r *Report) OK(subject, detail string) { r.line("ok", subject, detail) }

// Warn reports what the server does not need, and what to do about it.
func (r *Report) Warn(subject, detail string) { r.line("warning", subject, detail) }

// Missing reports what the server needs and does not have, and what to do.
func (r *Report) Missing(subject, detail string) { r.line("missing", subject, detail) }

func (r *Report) line(verdict, subject, detail string) {
	if detail != "" {
		subject += ": " + strings.ReplaceAll(detail, "\n", " ")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch verdict {
	case "warning":
		r.warnings++
	case "missing":
		r.missing++
	}
	fmt.Fprintf(r.w, "%-8s %s\n", verdict, subject)
}

// Good reports whether nothing is missing.
func (r *Report) Good() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missing == 0
}

// Conclude writes the last line.
func (r *Report) Conclude() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.missing > 0:
		fmt.Fprintf(r.w, "\nUploads cannot be stored there yet: see what is missing above (%d).\n", r.missing)
	case r.warnings > 0:
		fmt.Fprintf(r.w, "\nUploads can be stored there. Read the warnings above (%d).\n", r.warnings)
	default:
		fmt.Fprintln(r.w, "\nUploads can be stored there.")
	}
}
