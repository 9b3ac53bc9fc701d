package protocoltest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// createPartial makes a full partial upload.
func (c *client) createPartial(data []byte) string {
	c.env.Helper()
	return c.createFull(data, "Upload-Concat: partial")
}

func (c *client) postFinal(list string, header ...string) *answer {
	c.env.Helper()
	return c.post(append(header, "Upload-Concat: final;"+list)...)
}

// wantFinal checks a final upload that is built.
func (e *env) wantFinal(u, list string, want []byte) {
	e.Helper()
	length := strconv.Itoa(len(want))
	e.head(u).status(200).header("Upload-Offset", length).header("Upload-Length", length).header("Upload-Concat", "final;"+list)
	if a := e.get(u).status(200, 204); !bytes.Equal(a.Body, want) {
		e.Errorf("GET of the final has %s, want %s", digest(a.Body), digest(want))
	}
	e.wantStored(u, want)
}

// pendingFinal makes a final of a full partial, "ab", and an unfinished one, "cde", of
// which "c" is stored.
func (e *env) pendingFinal() (full, open, final string) {
	e.Helper()
	full, open = e.createPartial([]byte("ab")), e.create(3, "Upload-Concat: partial")
	e.patch(open, 0, []byte("c")).status(204)
	return full, open, e.postFinal(full + " " + open).status(201).location()
}

// complete sends the rest of the unfinished partial.
func (e *env) complete(open string) {
	e.Helper()
	e.patch(open, 1, []byte("de")).status(204)
}

// waitForFinal waits until HEAD of a final has an offset.
func (e *env) waitForFinal(u string) {
	e.Helper()
	e.eventually("the final is built", func() bool { return e.head(u).status(200, 204, 423).Header.Get("Upload-Offset") != "" })
}

// failPartial makes a partial of deferred length fail: the IETF draft lets it exceed its length.
func (e *env) failPartial(path string) {
	e.Helper()
	e.ietf(9).append(path, 0, false, []byte("abc"), "Upload-Length: 2").status(413)
}

// postNamedFinal makes a final, and waits until the records of its partials name it.
func (e *env) postNamedFinal(store *hookedStore, partials ...string) (final string) {
	e.Helper()
	final = e.postFinal(strings.Join(partials, " ")).status(201).location()
	e.eventually("the partials name the final", func() bool { return finalsNamed(e.T, store.concatStore, partials...) == len(partials) })
	return final
}

// finalsNamed counts the finals that the records of partials name.
func finalsNamed(t *testing.T, store tusd.DataStore, partials ...string) (n int) {
	t.Helper()
	for _, path := range partials {
		n += len(recordOf(t, store, path).Finals)
	}
	return n
}

// wantForgotten waits until no partial names a final and there is no side record of one.
func (e *env) wantForgotten(store *hookedStore, partials ...string) {
	e.Helper()
	e.eventually("the partials do not name the final", func() bool { return finalsNamed(e.T, store.concatStore, partials...) == 0 })
	e.eventually("nothing is left to be done", func() bool { return sideRecords(e.T, store.concatStore, "building", "removed") == 0 })
}
