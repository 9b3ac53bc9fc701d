package protocoltest

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// Whatever a creation has, the header of every answer about its upload is at most 16 KiB:
// clients and proxies read no more.
func TestAnswerSize(t *testing.T) {
	run(t, []scenario{
		{"metadata", "HEAD returns metadata of the largest size, a creation with more is 431", sizeOfMetaData},
		{"final", "the URLs of a final count with its metadata", sizeOfFinal},
		{"final_absolute", "the URLs of a final count as they were sent: HEAD returns them so", sizeOfAbsoluteFinal},
		{"partial", "the mark of a partial upload counts with its metadata", sizeOfPartial},
		{"name", "the name and the type of a download count as they are answered", sizeOfName},
		{"callback", "metadata of the pre-create callback counts, too", sizeOfCallback},
		{"raised", "a larger limit allows more", sizeRaised},
	})
	runOn(t, memoryStore, protocols, []scenario{
		{"name_forms", "whatever characters a name has, it is answered within the limit or refused", sizeOfNameForms},
		{"draft", "the IETF draft's creations have the same limit", sizeOfDraft},
	})
}

// maxAnswerHeader is the header that Node.js reads, less the fields that proxies add.
const maxAnswerHeader = 16<<10 - 512

// largest are request headers that make the header of the answer large.
var largest = []string{"Origin: https://" + strings.Repeat("o", 63) + ".example:65535", "X-Request-Id: " + strings.Repeat("i", 36)}

// wantReadable checks the size of an answer's header.
func (a *answer) wantReadable() *answer {
	a.env.Helper()
	n := len("HTTP/1.1 200 Connection established\r\n\r\n")
	for name, values := range a.Header {
		for _, value := range values {
			n += len(name) + len(value) + len(": \r\n")
		}
	}
	if n > maxAnswerHeader {
		a.env.Errorf("%s: a header of %d bytes, want at most %d", a.request, n, maxAnswerHeader)
	}
	return a
}

// wantReadable checks the answers to all kinds of requests for an upload.
func (e *env) wantReadable(u string) {
	e.Helper()
	e.do(http.MethodHead, u, nil, append(largest, version)...).status(200).wantReadable()
	e.get(u, largest...).status(200, 409).wantReadable()
	e.get(u, append(largest, "Range: bytes=0-0")...).wantReadable()
	if !e.config.DisableIETF {
		d := e.ietf(6)
		d.do(http.MethodHead, u, nil, largest...).status(204).wantReadable()
		d.do(http.MethodGet, u, nil, largest...).status(200, 204).wantReadable()
	}
}

// allDigests is a Repr-Digest line with all digests of content(100). The record keeps them.
func allDigests() string { return allDigestsOf(content(100)) }

// allDigestsOf is the same for data.
func allDigestsOf(data []byte) string {
	var all []string
	for _, h := range hashes {
		if h.field != "" {
			all = append(all, field9530("", h.field, data)[2:])
		}
	}
	return "Repr-Digest: " + strings.Join(all, ", ")
}

func sizeOfMetaData(e *env) {
	u := e.createFull(content(100), "Upload-Metadata: "+metadataOf(14<<10), allDigests())
	e.head(u).header("Upload-Metadata", metadataOf(14<<10))
	e.wantReadable(u)
	e.wantRefusedAsLarge("Upload-Length: 100", "Upload-Metadata: "+metadataOf(14<<10+4))
	e.wantRefusedAsLarge("Upload-Length: 100", "Upload-Metadata: a", "Upload-Metadata: "+metadataOf(14<<10))
}

// wantRefusedAsLarge sends a creation that is refused and creates nothing.
func (e *env) wantRefusedAsLarge(header ...string) {
	e.Helper()
	before := e.countUploads()
	e.post(header...).status(431).code("ERR_METADATA_TOO_LARGE").without("Location")
	if after := e.countUploads(); after != before {
		e.Errorf("%d uploads became %d", before, after)
	}
}

// partialsIn names a partial as often as fits into size bytes of Upload-Concat.
func partialsIn(size int, url string) string {
	size -= len("final;")
	list := strings.TrimSpace(strings.Repeat(url+" ", (size+1)/(len(url)+1)))
	return strings.Replace(list, " ", strings.Repeat(" ", size-len(list)+1), 1)
}

func sizeOfFinal(e *env) {
	e.config.MaxPartials = 1000
	p := e.createPartial(content(1))
	e.wantReadable(e.postFinal(partialsIn(14<<10, p)).status(201).location())
	e.wantReadable(e.postFinal(partialsIn(8<<10, p), "Upload-Metadata: "+metadataOf(6<<10)).status(201).location())
	e.wantRefusedAsLarge("Upload-Concat: final;"+partialsIn(14<<10, p), "Upload-Metadata: a") // without metadata it is the same final
	e.wantRefusedAsLarge("Upload-Concat: final;"+partialsIn(8<<10, p), "Upload-Metadata: "+metadataOf(6<<10+4))
}

func sizeOfAbsoluteFinal(e *env) {
	e.config.MaxPartials = 1000
	p := e.createPartial(content(1))
	for _, reference := range []string{strings.TrimPrefix(p, "/files/"), e.server.URL + p} {
		list := partialsIn(14<<10, reference)
		u := e.postFinal(list).status(201).location()
		e.head(u).header("Upload-Concat", "final;"+list)
		e.wantReadable(u)
		e.wantRefusedAsLarge("Upload-Concat: final;"+partialsIn(14<<10-1, reference), "Upload-Metadata: aa")
	}
}

func sizeOfPartial(e *env) {
	e.create(1, "Upload-Concat: partial", "Upload-Metadata: "+metadataOf(14<<10-8))
	e.wantRefusedAsLarge("Upload-Length: 1", "Upload-Concat: partial", "Upload-Metadata: "+metadataOf(14<<10-4))
}

// nameMetaData is Upload-Metadata with a name.
func nameMetaData(name string, more ...string) string {
	pairs := append(more, "filename "+base64.StdEncoding.EncodeToString([]byte(name)))
	return "Upload-Metadata: " + strings.Join(pairs, ",")
}

func sizeOfName(e *env) {
	const around = len("application/octet-stream" + `attachment; filename="_"; filename*=UTF-8''%C3%A4`)
	most := 14<<10 - around
	long := "ä" + strings.Repeat("a", most/2) // an a is twice in Content-Disposition
	u := e.createFull(content(10), nameMetaData(long))
	e.wantReadable(u)
	if got := len(e.get(u).Header.Get("Content-Disposition")); got < 14<<10-100 {
		e.Errorf("Content-Disposition of %d bytes: this is not the limit", got)
	}
	e.wantRefusedAsLarge("Upload-Length: 10", nameMetaData(long+"a"))
	e.wantRefusedAsLarge("Upload-Length: 10", nameMetaData(long, "filetype "+base64.StdEncoding.EncodeToString([]byte("application/octet-stream22"))))
}

func sizeOfNameForms(e *env) {
	refused := 0
	for _, unit := range []string{"a", "ä", "語", "𝄞", "\xff", "\xff\xfea", "\x00", `"`, "%", " ", "/", "+", "\u0085"} {
		for _, size := range []int{1000, 1400, 2000, 2400, 4000, 7000, 10000} {
			name := strings.Repeat(unit, size/len(unit))
			a := e.postWith(content(10), "Upload-Length: 10", nameMetaData(name)).status(201, 431)
			if a.Status == 431 {
				refused++
				continue
			}
			e.wantReadable(a.location())
		}
	}
	for _, unit := range []string{"; a#=b", `; a#="\""`, "; a#=\"\u00e4\"", "; a#=\" \""} {
		value := "text/plain"
		for i := range 250 {
			value += strings.Replace(unit, "#", strings.Repeat("x", 10+i%10)+string(rune('a'+i%26))+string(rune('a'+i/26)), 1)
		}
		a := e.postWith(content(10), "Upload-Length: 10", "Upload-Metadata: filetype "+base64.StdEncoding.EncodeToString([]byte(value))).status(201, 431)
		if a.Status == 201 {
			e.wantReadable(a.location())
		}
	}
	if refused == 0 {
		e.Error("none of the names is refused")
	}
}

func sizeOfCallback(e *env) {
	e.config.MaxPartials = 1000
	var metadata tusd.MetaData
	e.config.Callbacks.PreCreate = func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
		return tusd.HTTPResponse{}, tusd.FileInfoChanges{MetaData: metadata}, nil
	}
	p := e.createPartial(content(1))
	for _, pairs := range []tusd.MetaData{{"key": strings.Repeat("v", 12<<10)}, {"filename": strings.Repeat("ä", 3000)}} {
		metadata = pairs
		e.wantRefusedAsLarge("Upload-Length: 100")
		e.wantRefusedAsLarge("Upload-Concat: final;" + p)
	}
	metadata = tusd.MetaData{"key": strings.Repeat("v", 5<<10)}
	e.wantReadable(e.createFull(content(10)))
	e.wantRefusedAsLarge("Upload-Concat: final;" + partialsIn(8<<10, p))
}

func sizeOfDraft(e *env) {
	e.config.DisableIETF = false
	for _, interop := range interopVersions {
		d := e.ietf(interop)
		name := func(n int) string { return "Content-Disposition: attachment; filename=" + strings.Repeat("a", n) }
		escaped := func(n int) string {
			return "Content-Disposition: attachment; filename*=UTF-8''" + strings.Repeat("%C3%A4", n)
		}
		encoded := "Content-Encoding: " + strings.Repeat("gzip, ", 800) + "gzip"
		e.wantReadable(d.create(true, content(10), name(10<<10), allDigestsOf(content(10))).status(201).location())
		e.wantReadable(d.create(true, content(10), escaped(1900)).status(201).location())
		e.wantReadable(d.create(true, content(10), name(5<<10), encoded).status(201).location())
		before := e.countUploads()
		for _, lines := range [][]string{{name(11 << 10)}, {escaped(2100)}, {name(9 << 10), encoded}} {
			d.create(true, content(10), lines...).refusedWith(431, "ERR_METADATA_TOO_LARGE", "").without("Location")
		}
		if after := e.countUploads(); after != before {
			e.Errorf("%d uploads became %d", before, after)
		}
	}
}

func sizeRaised(e *env) {
	e.config.MaxMetaData = 64 << 10
	u := e.create(100, "Upload-Metadata: "+metadataOf(64<<10))
	e.head(u).header("Upload-Metadata", metadataOf(64<<10))
	e.createFull(content(10), nameMetaData(strings.Repeat("ä", 5000)))
	e.wantRefusedAsLarge("Upload-Length: 1", nameMetaData(strings.Repeat("ä", 10000)))
}
