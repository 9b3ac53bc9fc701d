package protocoltest

import (
	"encoding/base64"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/wire"
)

const announcedTrailer = "Trailer: Upload-Checksum"

// verifyWays are the ways to store a chunk only if its checksum is right.
var verifyWays = []struct {
	name  string
	setUp func(*env)
}{
	{"in_place", func(*env) {}},
	{"spooled", func(e *env) {
		e.config.StoreComposer.AtomicWriter = nil
		e.config.ChecksumSpool = e.TempDir()
	}},
}

// runVerified runs scenarios in both ways, and checks that the spool is empty afterwards.
func runVerified(t *testing.T, scenarios []scenario) {
	t.Helper()
	runVerifiedWays(t, len(verifyWays), scenarios)
}

// runVerifiedWays runs scenarios in the first n ways.
func runVerifiedWays(t *testing.T, n int, scenarios []scenario) {
	t.Helper()
	for _, way := range verifyWays[:n] {
		var all []scenario
		for _, s := range scenarios {
			s.name, s.test = way.name+"/"+s.name, verifiedTest(way.setUp, s.test)
			all = append(all, s)
		}
		run(t, all)
	}
}

func verifiedTest(setUp, test func(*env)) func(*env) {
	return func(e *env) {
		e.config.DisableIETF = false
		setUp(e)
		test(e)
		e.waitIdle()
		if spool := e.config.ChecksumSpool; spool != "" {
			if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
				e.Errorf("the spool holds %v, %v; want nothing", left, err)
			}
		}
	}
}

func TestChecksum(t *testing.T) {
	runVerified(t, []scenario{
		{"case006_options", "OPTIONS lists the algorithms, sha1 among them, in lower case", checksumOptions},
		{"case094_creation", "a creation whose content does not match keeps none of it", checksumCreation},
		{"case101_right", "a chunk that matches is stored", checksumRight},
		{"case102_wrong", "a chunk that does not match is 460 and not stored, then the right one is", checksumWrong},
		{"case103_unknown", "an unknown algorithm is 400", checksumUnknown},
		{"case104_malformed", "a malformed checksum is 400", checksumMalformed},
		{"case105_empty", "the checksum of an empty chunk is compared", checksumEmpty},
		{"case106_cut", "nothing is kept of a chunk that is cut", checksumCut},
		{"case106_preempted", "nothing is kept of a chunk that a newer request preempts", checksumPreempted},
		{"case107_restart", "nothing is kept of a chunk during which the server shuts down", checksumRestart},
		{"case108_trailer", "a checksum may come as trailer", checksumTrailer},
		{"case109_bad_trailer", "a trailer that is missing, malformed or beside a header is 400", checksumBadTrailer},
		{"completing", "a chunk that completes is verified first", checksumCompleting},
		{"changes_nothing", "a request whose content does not match changes nothing of the upload", checksumChangesNothing},
		{"too_long", "a chunk that is too long is refused although it matches", checksumTooLong},
	})
}

func checksumChangesNothing(e *env) {
	u := e.createDeferred()
	e.patch(u, 0, content(10)).status(204)
	wrong := checksum("sha1", []byte("other"))
	e.patch(u, 10, content(100)[10:], "Upload-Length: 100", wrong).status(460)
	e.head(u).header("Upload-Defer-Length", "1").header("Upload-Offset", "10").without("Upload-Length")
	e.patch(u, 10, content(100)[10:], "Upload-Length: 100", wrong, chunked).status(460)
	e.head(u).header("Upload-Defer-Length", "1").header("Upload-Offset", "10").without("Upload-Length")
	e.patch(u, 10, content(60)[10:], "Upload-Length: 100", checksum("sha1", content(60)[10:])).status(204)
	e.head(u).header("Upload-Length", "100").header("Upload-Offset", "60").without("Upload-Defer-Length")
	e.patch(u, 60, content(100)[60:]).status(204)
	e.wantStored(u, content(100))

	end := e.createDeferred() // content and its end at once
	e.patch(end, 0, content(50), "Upload-Length: 50", checksum("sha1", content(50))).status(204)
	e.head(end).header("Upload-Length", "50").header("Upload-Offset", "50")
	e.wantStored(end, content(50))
	for _, length := range []string{"1152921504606846976", "9223372036854775807"} { // some stores can take that
		vast := e.createDeferred()
		a := e.patch(vast, 0, content(50), "Upload-Length: "+length, checksum("sha1", content(50))).status(204, 413)
		if a.Status == 413 {
			e.head(vast).header("Upload-Defer-Length", "1").header("Upload-Offset", "0")
		}
	}
	none := e.createDeferred() // there is no content
	e.patch(none, 0, nil, "Upload-Length: 50", checksum("sha1", nil)).status(204)
	e.head(none).header("Upload-Length", "50").header("Upload-Offset", "0")
}

func checksumOptions(e *env) {
	a := e.options("/files/").status(200).headerMatches("Tus-Extension", "(^|,)checksum,checksum-trailer(,|$)")
	got := strings.Split(a.Header.Get("Tus-Checksum-Algorithm"), ",")
	slices.Sort(got)
	if want := []string{"crc32", "crc32c", "md5", "sha1", "sha256", "sha512"}; !slices.Equal(got, want) {
		e.Errorf("Tus-Checksum-Algorithm %v, want %v", got, want)
	}
}

func checksumCreation(e *env) {
	data := content(100)
	for _, framing := range []string{"X: y", chunked} {
		a := e.postWith(data[:50], "Upload-Length: 100", checksum("sha1", data), framing).status(460).code("ERR_CHECKSUM_MISMATCH")
		if a.Header.Get("Location") != "" {
			u := a.location()
			e.wantOffset(u, 0)
			e.wantStored(u, nil)
			e.patch(u, 0, data, checksum("sha1", data)).status(204)
		}
		u := e.postWith(data[:50], "Upload-Length: 100", checksum("sha1", data[:50]), framing).status(201).header("Upload-Offset", "50").location()
		e.wantOffset(u, 50)
	}
	e.postWith(data[:50], "Upload-Length: 100", "Upload-Checksum: sha1").status(400).without("Location")
}

func checksumRight(e *env) {
	data := content(200)
	for _, h := range hashes {
		if h.tus == "" {
			continue
		}
		u := e.create(200)
		e.patch(u, 0, data[:100], checksum(h.tus, data[:100])).status(204).header("Upload-Offset", "100")
		e.patch(u, 100, data[100:], checksum(h.tus, data[100:]), chunked).status(204).header("Upload-Offset", "200")
		e.wantStored(u, data)
	}
}

func checksumWrong(e *env) {
	data := content(200)
	long := func(name string) string { // one byte more than the algorithm has
		sum, _ := base64.StdEncoding.DecodeString(sum64(name, data[100:]))
		return "Upload-Checksum: " + name + " " + base64.StdEncoding.EncodeToString(append(sum, 0))
	}
	for _, h := range hashes {
		if h.tus == "" {
			continue
		}
		u := e.create(200)
		e.patch(u, 0, data[:100]).status(204)
		for _, line := range []string{checksum(h.tus, data), long(h.tus), "Upload-Checksum: " + h.tus + " YQ=="} {
			for _, framing := range []string{"X: y", chunked} {
				e.patch(u, 100, data[100:], line, framing).status(460).code("ERR_CHECKSUM_MISMATCH")
				e.wantOffset(u, 100)
			}
		}
		e.wantStored(u, data[:100])
		e.patch(u, 100, data[100:], checksum(h.tus, data[100:])).status(204)
		e.wantStored(u, data)
	}
}

func checksumUnknown(e *env) {
	u := e.create(100)
	for _, name := range []string{"sha3", "adler", "sha-256", "whirlpool", "sha384"} {
		e.patch(u, 0, content(100), "Upload-Checksum: "+name+" "+sum64("sha1", content(100))).status(400).code("ERR_INVALID_CHECKSUM")
	}
	e.wantOffset(u, 0)
	e.wantStored(u, nil)
}

// malformed are values that Upload-Checksum must not have.
var malformed = func() []string {
	right := sum64("sha1", content(100))
	return []string{
		"sha1", "", "sha1 ", "sha1  " + right, "SHA1 " + right, "Sha1 " + right, right, "sha1 !!!!", "sha1 " + strings.TrimRight(right, "="),
		"sha1 " + right + " x", "sha1 " + right + ",md5 " + right, "sha1\t" + right, "sha1 " + right + "=",
	}
}()

func checksumMalformed(e *env) {
	u := e.create(100)
	for _, value := range malformed {
		e.patch(u, 0, content(100), "Upload-Checksum: "+value).status(400).code("ERR_INVALID_CHECKSUM")
	}
	right := checksum("sha1", content(100))
	e.patch(u, 0, content(100), right, right).status(400).code("ERR_INVALID_CHECKSUM")
	e.wantOffset(u, 0)
	e.wantStored(u, nil)
	e.patch(u, 0, content(100), right).status(204)
}

func checksumEmpty(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(10)).status(204)
	for _, framing := range []string{"X: y", chunked} {
		e.patch(u, 10, nil, checksum("sha1", nil), framing).status(204).header("Upload-Offset", "10")
		e.patch(u, 10, nil, checksum("sha1", []byte("x")), framing).status(460)
	}
	full := e.createFull(content(10))
	e.patch(full, 10, nil, checksum("sha1", nil)).status(204)
	e.patch(full, 10, nil, checksum("sha1", []byte("x"))).status(460)
	e.wantOffset(u, 10)
	d := e.createDeferred()
	e.patch(d, 0, content(10)).status(204)
	e.patch(d, 10, nil, "Upload-Length: 10", checksum("sha1", content(1))).status(460)
	e.head(d).status(200).header("Upload-Defer-Length", "1") // the length did not count either
	e.patch(d, 10, nil, "Upload-Length: 10", checksum("sha1", nil)).status(204)
	e.head(d).status(200).header("Upload-Length", "10")
}

// cutUnverified sends a part of a chunk with a checksum, calls end, and checks that nothing
// of the chunk is stored.
func cutUnverified(e *env, end func(u string, s *openRequest)) {
	data := content(3 << 20)
	for _, how := range [][]string{{checksum("sha256", data[10:])}, {announcedTrailer}} {
		u := e.create(int64(len(data)))
		e.patch(u, 0, data[:10]).status(204)
		length := int64(len(data)) - 10
		if how[0] == announcedTrailer {
			length = wire.Unknown
		}
		s := e.another().open(u, 10, length, how...)
		s.sendAndSee(data[10 : 2<<20])
		end(u, s)
		e.wantOffset(u, 10)
		e.wantStored(u, data[:10])
		e.patch(u, 10, data[10:], checksum("sha256", data[10:])).status(204)
		e.wantStored(u, data)
	}
}

func checksumCut(e *env) {
	cutUnverified(e, func(_ string, s *openRequest) {
		_ = s.Abort()
		e.waitIdle()
	})
}

func checksumPreempted(e *env) {
	cutUnverified(e, func(u string, s *openRequest) {
		e.wantOffset(u, 10)
		s.answer().status(423)
	})
}

func checksumRestart(e *env) {
	cutUnverified(e, func(string, *openRequest) { e.restartWithSpool() })
}

// restartWithSpool is restart, without the atomic writer of the store if there is a spool.
func (e *env) restartWithSpool() {
	e.restart()
	if e.config.ChecksumSpool != "" {
		e.config.StoreComposer.AtomicWriter = nil
	}
}

// patchWithTrailer sends a chunk of unknown length with trailers.
func (e *env) patchWithTrailer(target string, offset int64, data []byte, header []string, trailer ...string) *answer {
	e.Helper()
	s := e.openNow(target, offset, wire.Unknown, header...)
	if err := s.Send(data, trailer...); err != nil && !errors.Is(err, wire.ErrEnded) { // the server may have refused the header
		e.Errorf("send a body with trailers: %v", err)
	}
	defer e.drop() // net/http closes an HTTP/2 connection if trailers arrive for a refused stream
	return s.answer()
}

func checksumTrailer(e *env) {
	data := content(200)
	for _, h := range hashes {
		if h.tus == "" {
			continue
		}
		u := e.create(200)
		for _, wrong := range []string{checksum(h.tus, data), "Upload-Checksum: " + h.tus + " YQ=="} {
			e.patchWithTrailer(u, 0, data[:100], []string{announcedTrailer}, wrong).status(460).code("ERR_CHECKSUM_MISMATCH")
			e.wantOffset(u, 0)
			e.wantStored(u, nil)
		}
		e.patchWithTrailer(u, 0, data[:100], []string{announcedTrailer}, checksum(h.tus, data[:100])).status(204)
		e.patchWithTrailer(u, 100, data[100:], []string{"Trailer: X-Other, upload-checksum"}, "x-other: 1", checksum(h.tus, data[100:])).status(204)
		e.wantStored(u, data)
	}
}

func checksumBadTrailer(e *env) {
	data := content(100)
	right := checksum("sha1", data)
	u := e.create(100)
	announced := []string{announcedTrailer}
	e.patchWithTrailer(u, 0, data, announced).status(400).code("ERR_INVALID_CHECKSUM")
	e.patchWithTrailer(u, 0, data, announced, "X-Other: 1").status(400)
	e.patchWithTrailer(u, 0, data, announced, right, right).status(400)
	e.patchWithTrailer(u, 0, data, []string{announcedTrailer, right}, right).status(400)
	e.patchWithTrailer(u, 0, data, []string{announcedTrailer, right}).status(400)
	for _, value := range malformed {
		e.patchWithTrailer(u, 0, data, announced, "Upload-Checksum: "+value).status(400)
	}
	e.patch(u, 0, data, announcedTrailer).status(400) // the framing of HTTP/1.1 has no trailers then
	e.wantOffset(u, 0)
	e.wantStored(u, nil)
	e.patchWithTrailer(u, 0, data, announced, right).status(204)
}

func checksumCompleting(e *env) {
	e.countFinishes()
	u := e.create(100)
	e.patch(u, 0, content(100), checksum("md5", nil)).status(460)
	if n := e.finished.Load(); n != 0 {
		e.Errorf("an upload without its bytes was finished")
	}
	e.wantOffset(u, 0)
	e.patch(u, 0, content(100), checksum("md5", content(100))).status(204)
	if n := e.finished.Load(); n != 1 {
		e.Errorf("the upload was finished %d times", n)
	}
}

func checksumTooLong(e *env) {
	for _, framing := range []string{"X: y", chunked} {
		u := e.create(100)
		e.patch(u, 0, content(101), checksum("sha1", content(101)), framing).status(413)
		e.wantOffset(u, 0)
		e.wantStored(u, nil)
	}
}
