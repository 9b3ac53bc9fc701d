//go:build linux

package hostiletest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/s3server"
)

// TestStalledUploadsToS3 has 40 uploads over HTTP/2 wait for a service that
// takes no part. What the clients send ahead counts as memory, too.
func TestStalledUploadsToS3(t *testing.T) {
	attacked(t, func(tb testing.TB) *target { return onS3(tb, "-s3-buffer-memory", "33554432") }, []attack{
		{name: "stalled uploads over HTTP/2", run: stalledUploads},
	})
}

func stalledUploads(a *arena) error {
	release := make(chan struct{})
	defer close(release)
	a.bucket.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == "UploadPart" {
			return s3server.Outcome{Until: release}
		}
		return s3server.Outcome{}
	})
	defer a.bucket.Fault(nil)
	err := a.many(40, func(int) error {
		path, err := a.create(1 << 30)
		if err != nil {
			return err
		}
		c, err := a.frames(framing{})
		if err != nil {
			return err
		}
		id, err := c.opened("PATCH", path, false, "Upload-Offset: 0", offsetStream)
		if err != nil {
			return err
		}
		go func() { // until the connection is closed; the window is not asked for
			for content := make([]byte, 16<<10); c.credit(int64(len(content))); {
				if c.write(func() error { return c.WriteData(id, false, content) }) != nil {
					return
				}
			}
		}()
		return nil
	})
	if err != nil {
		return err
	}
	a.rest(2 * time.Second)
	return a.hold()
}

// TestHandshakes has handshakes of TLS stop half-way.
func TestHandshakes(t *testing.T) {
	certificate, key := selfSigned(t)
	attacked(t, func(tb testing.TB) *target {
		return onFiles(tb, "-tls-certificate", certificate, "-tls-key", key)
	}, []attack{
		{name: "half a handshake", run: gather(1000, stall{open: halfHandshake})},
		{name: "no handshake", run: gather(1000,
			stall{open: saying("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
			stall{open: saying("\x16\x03\x01\x40\x00\x01" + strings.Repeat("x", 8000))},
			stall{open: saying("")},
		)},
	})
}

// selfSigned makes a certificate.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", encoded)
}

// TestUnreadLog has a daemon whose log is not read, and clients that fill it.
func TestUnreadLog(t *testing.T) {
	long := strings.Repeat("p", 200<<10)
	attacked(t, func(tb testing.TB) *target {
		to := onFiles(tb)
		tb.Cleanup(to.Ignore())
		return to
	}, []attack{
		{name: "long paths", run: stream(300, func(a *arena, _ int) string { return a.head("HEAD", "/"+long) })},
		{name: "ids that do not exist", run: stream(5000, func(a *arena, _ int) string { return a.head("HEAD", uploads+"unknown") })},
	})
}

// TestCachesAreBounded makes records of 12 KiB each, more than caches may hold.
func TestCachesAreBounded(t *testing.T) {
	t.Parallel()
	const noise = 2 << 20
	for name, begin := range map[string]func(testing.TB, ...string) *target{"files": onFiles, "S3": onS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := begin(t)
			a := newArena(t.Context(), t, to)
			text := a.head("POST", uploads, "Upload-Length: 1", "Upload-Metadata: a "+strings.Repeat("AAAA", 3000), "Content-Length: 0")
			err := a.many(8, func(int) error {
				conn, err := a.dial()
				for i := 0; i < 3000/8 && err == nil; i++ {
					_, err = ask(conn, "POST", text)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			a.leave()
			now, err := to.measure()
			if err != nil {
				t.Fatal(err)
			}
			made := now.created - to.idle.created
			t.Logf("%d uploads: %.1f MiB more", made, mib(now.heap-to.idle.heap))
			if more := now.heap - to.idle.heap; more > caches+noise {
				t.Errorf("%d uploads leave %.1f MiB, want at most %.1f", made, mib(more), mib(caches+noise))
			}
		})
	}
}

// TestHiddenRequests sends requests whose end can be read in two ways, with
// another one behind it that only one of them sees.
func TestHiddenRequests(t *testing.T) {
	const hidden = "HEAD /metrics HTTP/1.1\r\nHost: hidden\r\n\r\n"
	t.Parallel()
	to := onFiles(t)
	a := newArena(t.Context(), t, to)
	path, err := a.create(10000)
	if err != nil {
		t.Fatal(err)
	}
	patch := "PATCH " + path + " HTTP/1.0\r\nTus-Resumable: 1.0.0\r\n" + offsetStream + "\r\nUpload-Offset: 0\r\nConnection: keep-alive\r\n"
	modern := strings.Replace(patch, "HTTP/1.0", "HTTP/1.1\r\nHost: a", 1)
	for name, text := range map[string]string{
		"HTTP/1.0 with both lengths":       patch + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"HTTP/1.0 in chunks":               patch + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"HTTP/1.0 with a length":           patch + "Content-Length: 5\r\n\r\nhallo" + hidden,
		"HTTP/1.0 GET with a length":       "GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"both lengths":                     modern + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":                      modern + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhallo" + hidden,
		"an unknown coding":                modern + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a coding with a tab":              modern + "Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n" + hidden,
		"a length with a sign":             modern + "Content-Length: +5\r\n\r\nhallo" + hidden,
		"a length behind a space":          modern + "Content-Length : 5\r\n\r\nhallo" + hidden,
		"a chunk ended by a line feed":     modern + "Transfer-Encoding: chunked\r\n\r\n5\nhallo\n0\n\n" + hidden,
		"a chunk that is too long":         modern + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhallo\r\n0\r\n\r\n" + hidden,
		"HTTP/1.1 metrics in both lengths": "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := a.say(text)
			if err != nil {
				t.Fatal(err)
			}
			defer a.drop(conn)
			answers := bufio.NewReader(conn)
			first, err := http.ReadResponse(answers, &http.Request{Method: "PATCH"})
			if err != nil {
				return // not even the first was served
			}
			io.Copy(io.Discard, first.Body)
			conn.SetReadDeadline(time.Now().Add(patience))
			if second, err := http.ReadResponse(answers, &http.Request{Method: "HEAD"}); err == nil {
				t.Errorf("answers %s and %s: the hidden request was served", first.Status, second.Status)
			}
		})
	}
}
