package tusd

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"
)

var updateDocs = flag.Bool("update", false, "write docs/errors.md")

const errorsIntroduction = `# Errors

The body of every error answer begins with one of these codes, unless a
callback of the embedding program replaced it. Codes are stable; messages may
change. This file is generated from the table in
errors.go: ` + "`go test -run ErrorsDoc -update .`" + `

Malformed HTTP, and features of HTTP/1.1 that the server does not support, are
answered without a code, and the connection ends: 400, 417 (an Expect other than
100-continue), 431, 501 (a Transfer-Encoding other than chunked) and 505.

**Transient** errors are not caused by the request: the answer has Retry-After,
and the client should send the same request again. The status is the one in the
table, with these exceptions, because clients abandon an upload on the wrong
status:

- HEAD of a tus client: always 423
- HEAD of a client of the IETF draft: always 503, but 423 in the interop versions
  5 and 6, which tus-js-client speaks
- GET: always 503

Two codes are for the operator. ` + "`ERR_LOCK_SERVICE_UNAVAILABLE`" + `: the lock service of
-locker is unreachable, or refuses the server; the log has the reason in one line, and
tusd_lock_service_up is 0 (scaling.md). ` + "`ERR_LOCK_LOST`" + `: a server was paused or cut off
for longer than its lock was valid. Clients continue by themselves in both cases.

| Code | tus | IETF draft | Transient | Meaning |
|---|---|---|---|---|
`

// TestErrorsDoc checks that docs/errors.md has the table of errors.
func TestErrorsDoc(t *testing.T) {
	const name = "docs/errors.md"
	want := errorsDocument()
	if *updateDocs {
		if err := os.WriteFile(name, want, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), want) {
		t.Errorf("%s differs from the table of errors: run this test with -update", name)
	}
}

func errorsDocument() []byte {
	var document bytes.Buffer
	document.WriteString(errorsIntroduction)
	for _, e := range errorTable {
		transient := ""
		if e.Transient {
			transient = "yes"
		}
		fmt.Fprintf(&document, "| `%s` | %d | %d | %s | %s |\n", e.Code, e.Status.Tus, e.Status.IETF, transient, e.Message)
	}
	return document.Bytes()
}

// TestErrorTableIsComplete checks that all declared errors are in the table.
func TestErrorTableIsComplete(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	if declared := bytes.Count(source, []byte("= &Error{Code: ")); declared != len(errorTable) {
		t.Errorf("errors.go declares %d errors, the table has %d", declared, len(errorTable))
	}
}

// TestErrorTable checks the document's statements about the statuses of transient errors.
func TestErrorTable(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range errorTable {
		if seen[e.Code] {
			t.Errorf("%s is in the table twice", e.Code)
		}
		seen[e.Code] = true
		if !e.Transient {
			continue
		}
		for dialect, head := range map[Dialect]int{DialectTus: http.StatusLocked, DialectIETF: http.StatusServiceUnavailable} {
			if got := statusFor(e, dialect, http.MethodHead); got != head {
				t.Errorf("%s: HEAD (%s) is %d, want %d", e.Code, dialect, got, head)
			}
			if got := statusFor(e, dialect, http.MethodGet); got != http.StatusServiceUnavailable {
				t.Errorf("%s: GET (%s) is %d, want 503", e.Code, dialect, got)
			}
			if got := statusFor(e, dialect, http.MethodPatch); got != http.StatusLocked && got < 500 {
				t.Errorf("%s: PATCH (%s) is %d, want 423 or 5xx", e.Code, dialect, got)
			}
		}
	}
}
