package protocoltest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestConcatenation(t *testing.T) {
	run(t, []scenario{
		{"case112_partial", "a partial upload says so in HEAD and finishes without a completion of its own", concatPartial},
		{"case113_order", "a final has its partials' bytes in the order of the list, and Upload-Concat as it was sent", concatOrder},
		{"case113_same_twice", "a partial may appear twice and in several finals", concatSameTwice},
		{"case113_url_forms", "partials may be named by absolute and relative URLs", concatURLForms},
		{"case113_spellings", "a URL names the same upload in every spelling", concatSpellings},
		{"case113_own_metadata", "a final has its own metadata, not its partials'", concatOwnMetadata},
		{"case113_finishes_once", "a final finishes once", concatFinishesOnce},
		{"case114_with_length", "a final with Upload-Length: 400, nothing created", concatWithLength},
		{"case114_unknown_partial", "a final of an unknown URL: 400 or 404, nothing created", concatUnknown},
		{"case114_foreign", "a final of URLs of other hosts or paths: 400, nothing created", concatForeign},
		{"case114_not_partial", "a final of an upload that is no partial: 400, nothing created", concatNotPartial},
		{"case114_malformed", "a malformed Upload-Concat: 400, nothing created", concatMalformed},
		{"case115_patch_final", "PATCH of a final at any offset: 403, unchanged", concatPatchFinal},
		{"case115_too_large", "a final larger than Tus-Max-Size: 413, nothing created", concatTooLarge},
		{"concat_twice", "two Upload-Concat lines: 400, nothing created", concatTwice},
		{"empty_partials", "a final of empty partials is complete and empty", concatEmpty},
		{"switched_off", "without concatenation Upload-Concat is refused: 400", concatSwitchedOff},
	})
}

func concatPartial(e *env) {
	e.countFinishes()
	u := e.create(100, "Upload-Concat: partial")
	e.head(u).status(200).header("Upload-Concat", "partial").header("Upload-Offset", "0")
	e.patch(u, 0, content(100)).status(204)
	e.head(u).status(200).header("Upload-Concat", "partial").header("Upload-Offset", "100")
	if n := e.finished.Load(); n != 0 {
		e.Errorf("a partial upload finished %d times on its own", n)
	}
}

func concatOrder(e *env) {
	data := content(100)
	a, b := e.createPartial(data[:60]), e.createPartial(data[60:])
	for _, list := range []struct {
		urls string
		want []byte
	}{
		{a + " " + b, data},
		{b + " " + a, append(append([]byte(nil), data[60:]...), data[:60]...)},
		{b, data[60:]},
	} {
		e.wantFinal(e.postFinal(list.urls).status(201).location(), list.urls, list.want)
	}
	e.wantOffset(a, 60)
}

func concatSameTwice(e *env) {
	data := content(60)
	a := e.createPartial(data)
	list := a + " " + a
	e.wantFinal(e.postFinal(list).status(201).location(), list, append(append([]byte(nil), data...), data...))
}

func concatURLForms(e *env) {
	data := content(60)
	a := strings.TrimPrefix(e.createPartial(data[:20]), "/files/")
	b := strings.TrimPrefix(e.createPartial(data[20:]), "/files/")
	base := e.server.URL + "/files/"
	for i, list := range []string{
		base + a + " " + base + b,
		"/files/" + a + " " + base + b,
		a + " /files/" + b,
		"./" + a + " ../files/" + b,
	} {
		// With other metadata each POST makes another final.
		meta := fmt.Sprintf("Upload-Metadata: form%d", i)
		e.wantFinal(e.postFinal(list, meta).status(201).location(), list, data)
	}
}

func concatSpellings(e *env) {
	data := content(20)
	id := strings.TrimPrefix(e.createPartial(data), "/files/")
	escaped := fmt.Sprintf("%%%02x%s", id[0], id[1:])
	final := func(host, ref string) *answer {
		return e.post("Host: "+host, "Upload-Concat: final;"+ref)
	}
	for _, c := range []struct{ host, ref string }{
		{"up.example:80", "http://up.example/files/" + id}, {"up.example", "http://up.example:80/files/" + id},
		{"up.example", "https://up.example:443/files/" + id}, {"up.example:443", "https://up.example/files/" + id},
		{"UP.example", "http://up.EXAMPLE/files/" + id}, {"up.example", "HTTP://up.example/files/" + id},
		{"up.example", "http://up.example./files/" + id}, {"up.example", "//up.example:/files/" + id},
		{"[::1]:8080", "http://[0:0::1]:8080/files/" + id}, {"[2001:DB8::1]", "http://[2001:db8:0::1]/files/" + id},
		{"up.example", "http://up.example/%66iles/" + id}, {"up.example", "http://up.example/files/" + escaped},
		{"up.example", "http://up.example/x/../files/./" + id},
	} {
		u := final(c.host, c.ref).status(201).Header.Get("Location")
		if u == "" {
			e.Errorf("Host %s does not know %s", c.host, c.ref)
			continue
		}
		e.wantStored(u[strings.Index(u, "/files/"):], data)
	}
	for _, c := range []struct{ host, ref string }{
		{"up.example", "http://up.example:8080/files/" + id}, {"up.example:8080", "http://up.example/files/" + id},
		{"up.example", "http://up.example.evil/files/" + id}, {"up.example", "http://evil/up.example/files/" + id},
		{"[::1]", "http://[::2]/files/" + id}, {"up.example", "http://up.example/Files/" + id},
	} {
		final(c.host, c.ref).status(400).code("ERR_INVALID_CONCAT")
	}
	u := e.post("Upload-Concat: final;/files/" + id + "\t/files/" + id + " \t/files/" + id).status(201).location()
	e.wantStored(u, bytes.Repeat(data, 3))
	e.do(http.MethodHead, "/files/"+escaped, nil, version).status(200)
}

func concatOwnMetadata(e *env) {
	a := e.createFull(content(20), "Upload-Concat: partial", "Upload-Metadata: part YQ==")
	plain := e.postFinal(a).status(201).location()
	e.head(plain).without("Upload-Metadata")
	named := e.postFinal(a, "Upload-Metadata: whole Yg==").status(201).location()
	e.head(named).header("Upload-Metadata", "whole Yg==")
}

func concatFinishesOnce(e *env) {
	e.countFinishes()
	a := e.createPartial(content(20))
	u := e.postFinal(a + " " + a).status(201).location()
	e.eventually("the final is done", func() bool { return e.head(u).Header.Get("Upload-Offset") == "40" })
	e.head(u).status(200)
	if n := e.finished.Load(); n != 1 {
		e.Errorf("the final finished %d times, want once", n)
	}
}

// wantFinalRefused sends a creation that is refused and creates nothing.
func (e *env) wantFinalRefused(status []int, header ...string) {
	e.Helper()
	before := e.countUploads()
	e.post(header...).status(status...).without("Location")
	if after := e.countUploads(); after != before {
		e.Errorf("%q: %d uploads became %d", header, before, after)
	}
}

func concatWithLength(e *env) {
	a := e.createPartial(content(20))
	e.wantFinalRefused([]int{400}, "Upload-Concat: final;"+a, "Upload-Length: 20")
	e.wantFinalRefused([]int{400}, "Upload-Concat: final;"+a, "Upload-Defer-Length: 1")
}

func concatUnknown(e *env) {
	a := e.createPartial(content(20))
	e.wantFinalRefused([]int{400, 404}, "Upload-Concat: final;"+a+" /files/unknown")
	e.wantFinalRefused([]int{400, 404}, "Upload-Concat: final;/files/../files/unknown")
	e.wantFinalRefused([]int{400, 404}, "Upload-Concat: final;"+a+","+a)
}

func concatForeign(e *env) {
	a := e.createPartial(content(20))
	id := strings.TrimPrefix(a, "/files/")
	for _, url := range []string{
		"http://other.example" + a, "//other.example" + a, "/other/" + id, "/" + id, "ftp://" + e.server.Listener.Addr().String() + a,
		e.server.URL + "/other/" + id, "/files/", "/files", e.server.URL + "/files/", "file://" + a, "/files/%2e%2e/" + id, a + ".info",
		"/files/" + id + "%00", "%zz", a + "?x=1", "http://user@" + e.server.Listener.Addr().String() + "@other.example" + a,
	} {
		e.wantFinalRefused([]int{400, 404}, "Upload-Concat: final;"+url)
		e.wantFinalRefused([]int{400, 404}, "Upload-Concat: final;"+a+" "+url)
	}
}

func concatNotPartial(e *env) {
	regular, partial := e.createFull(content(20)), e.createPartial(content(20))
	final := e.postFinal(partial).status(201).location()
	for _, list := range []string{regular, partial + " " + regular, final, partial + " " + final} {
		e.wantFinalRefused([]int{400}, "Upload-Concat: final;"+list)
	}
}

func concatMalformed(e *env) {
	a := e.createPartial(content(20))
	for _, bad := range []string{"final;", "final; ", "final", "final:" + a, "Final;" + a, "FINAL;" + a, "foo", "Partial", "partial;", "partial;" + a, "", ";"} {
		e.wantFinalRefused([]int{400}, "Upload-Concat: "+bad)
		if !strings.HasPrefix(bad, "final") {
			e.wantFinalRefused([]int{400}, "Upload-Concat: "+bad, "Upload-Length: 20")
		}
	}
}

func concatPatchFinal(e *env) {
	data := content(20)
	a := e.createPartial(data)
	u := e.postFinal(a).status(201).location()
	for _, offset := range []int64{0, 10, 20, 21} {
		e.patch(u, offset, []byte("x")).status(403).code("ERR_MODIFY_FINAL")
		e.patch(u, offset, nil).status(403)
	}
	e.wantFinal(u, a, data)
}

func concatTooLarge(e *env) {
	e.config.MaxSize = 50
	a := e.createPartial(content(30))
	e.wantFinalRefused([]int{413}, "Upload-Concat: final;"+a+" "+a)
	e.postFinal(a).status(201)
}

func concatTwice(e *env) {
	a := e.createPartial(content(20))
	e.wantFinalRefused([]int{400}, "Upload-Concat: final;"+a, "Upload-Concat: final;"+a)
	e.wantFinalRefused([]int{400}, "Upload-Concat: partial", "Upload-Concat: partial", "Upload-Length: 20")
}

func concatEmpty(e *env) {
	a := e.create(0, "Upload-Concat: partial")
	e.wantFinal(e.postFinal(a+" "+a).status(201).location(), a+" "+a, nil)
}

func concatSwitchedOff(e *env) {
	e.config.DisableConcatenation = true
	e.wantFinalRefused([]int{400}, "Upload-Concat: partial", "Upload-Length: 20")
	e.wantFinalRefused([]int{400}, "Upload-Concat: final;/files/a")
}

func TestConcatenationUnfinished(t *testing.T) {
	run(t, []scenario{
		{"case116_unfinished", "a final of unfinished partials has no Upload-Offset until it is built, then offset = length", unfinishedFinal},
		{"case116_deferred", "while a partial's length is deferred the final has no Upload-Length", unfinishedDeferred},
		{"case116_delete_partial", "DELETE of a partial that a pending final names: 423", unfinishedDeletePartial},
		{"case116_partial_lost", "a final fails if a partial was removed", unfinishedPartialLost},
		{"case116_restart", "a pending final is built after a restart", unfinishedRestart},
		{"repeated_post", "the same final posted again within ten minutes is the same final", repeatedFinal},
		{"repeated_post_differs", "a final with other partials, order or metadata is another one", repeatedFinalDiffers},
		{"download_of_pending", "GET of a pending final: 409", pendingDownload},
		{"delete_of_pending", "a pending final can be terminated, its partials are free then", pendingTerminated},
	})
}

func unfinishedFinal(e *env) {
	full, open, final := e.pendingFinal()
	e.head(final).status(200, 423).without("Upload-Offset").header("Upload-Length", "5").header("Upload-Concat", "final;"+full+" "+open)
	e.wantOffset(open, 1)
	e.complete(open)
	e.waitForFinal(final)
	e.wantFinal(final, full+" "+open, []byte("abcde"))
}

func unfinishedDeferred(e *env) {
	data := content(60)
	a, b := e.createPartial(data[:20]), e.createDeferred("Upload-Concat: partial")
	final := e.postFinal(a + " " + b).status(201).location()
	e.head(final).without("Upload-Offset", "Upload-Length")
	e.patch(b, 0, data[20:], "Upload-Length: 40").status(204)
	e.waitForFinal(final)
	e.wantFinal(final, a+" "+b, data)
}

func unfinishedDeletePartial(e *env) {
	full, open, final := e.pendingFinal()
	for _, partial := range []string{full, open} {
		e.terminate(partial).status(423).code("ERR_PARTIAL_IN_USE").header("Retry-After", "1")
	}
	e.complete(open)
	e.waitForFinal(final)
	e.terminate(full).status(204)
	e.terminate(open).status(204)
	e.wantFinal(final, full+" "+open, []byte("abcde"))
}

func unfinishedPartialLost(e *env) {
	locker := &tusd.LocalLocker{}
	e.config.StoreComposer.UseLocker(locker)
	full, open, final := e.pendingFinal()
	lease, err := locker.Lock(e.Context(), idOf(full), tusd.LockPreempt)
	if err != nil {
		e.Fatal(err)
	}
	if err := e.config.StoreComposer.Terminater.Terminate(e.Context(), lease, idOf(full)); err != nil {
		e.Fatal(err)
	}
	if err := lease.Unlock(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.complete(open)
	e.eventually("the final has failed", func() bool {
		a := e.head(final).without("Upload-Offset")
		return a.Status/100 == 4 && a.Status != 423
	})
	e.terminate(final).status(204)
}

func unfinishedRestart(e *env) {
	full, open, final := e.pendingFinal()
	e.restart()
	e.head(final).status(200, 423).without("Upload-Offset")
	e.complete(open)
	e.waitForFinal(final)
	e.wantFinal(final, full+" "+open, []byte("abcde"))
}

func repeatedFinal(e *env) {
	a, b := e.createPartial(content(20)), e.createPartial(content(20))
	meta := "Upload-Metadata: k dg=="
	first := e.postFinal(a+" "+b, meta).status(201).location()
	again := e.postFinal(a+" "+b, meta).status(201).location()
	if first != again {
		e.Errorf("the repeated POST made %s, want %s", again, first)
	}
	full, open, pending := e.pendingFinal()
	if again := e.postFinal(full + " " + open).status(201).location(); again != pending {
		e.Errorf("the repeated POST of a pending final made %s, want %s", again, pending)
	}
	e.terminate(first).status(204)
	if fresh := e.postFinal(a+" "+b, meta).status(201).location(); fresh == first {
		e.Errorf("the POST after the final was terminated points to what is gone")
	}
}

func repeatedFinalDiffers(e *env) {
	a, b := e.createPartial(content(20)), e.createPartial(content(20))
	seen := map[string]bool{
		e.postFinal(a + " " + b).status(201).location():                               true,
		e.postFinal(b + " " + a).status(201).location():                               true,
		e.postFinal(a).status(201).location():                                         true,
		e.postFinal(a+" "+b, "Upload-Metadata: k dg==").status(201).location():        true,
		e.postFinal(a+" "+b, "Upload-Metadata: k dg==,l dg==").status(201).location(): true,
	}
	if len(seen) != 5 {
		e.Errorf("five different finals are %d uploads", len(seen))
	}
}

func pendingDownload(e *env) {
	_, _, final := e.pendingFinal()
	e.get(final, version).status(409).code("ERR_INCOMPLETE_UPLOAD")
}

func pendingTerminated(e *env) {
	full, open, final := e.pendingFinal()
	e.terminate(final).status(204)
	e.head(final).status(404, 410)
	e.terminate(full).status(204)
	e.terminate(open).status(204)
	e.wantGone(final)
}

func TestRepeatedConcatenationIsTheSameFinal(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	join := func(e *env, metadata string) string {
		t.Helper()
		a := e.postFinal(partial, "Upload-Metadata: "+metadata).status(201)
		return a.location()
	}
	first := join(e, "a YQ==")
	if again := join(e, "a YQ=="); again != first {
		t.Errorf("the same request made %s and %s", first, again)
	}
	if other := join(e, "b Yg=="); other == first {
		t.Error("other metadata gave the same final")
	}
	e.stop()
	e = serve(t, store, tusd.Config{})
	if again := join(e, "a YQ=="); again != first {
		t.Errorf("after a restart the same request made %s, before %s", again, first)
	}
	e.ahead.Store(int64(11 * time.Minute))
	if late := join(e, "a YQ=="); late == first {
		t.Error("after 11 minutes the same request still means the first final")
	}
	e.terminate(first).status(204)
}
