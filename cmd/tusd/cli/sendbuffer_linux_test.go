package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// The unsent bytes in the kernel's send buffer are bounded. With a large buffer a slow
// reader would look like a stalled one.
func TestUnsentDownloadIsBounded(t *testing.T) {
	require.Long(t)
	t.Parallel()
	const size = 16 << 20
	d := start(t, "-durability", "none", "-network-timeout", "500ms")
	location := create(t, http.DefaultClient, d.url, strconv.Itoa(size))
	if status := patch(http.DefaultClient, location, size, zeros(size)); status != http.StatusNoContent {
		t.Fatalf("PATCH: %d", status)
	}
	conn, err := net.Dial("tcp", d.address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(testTimeout))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", location[strings.Index(location, "/files/"):])
	await(t, "the server to end the download", func() bool { return strings.Contains(d.stdout.String(), "method=GET") })
	n, _ := io.Copy(io.Discard, conn)
	if n == 0 || n > 1<<20 {
		t.Errorf("%d bytes were buffered for a client that did not read", n)
	}
}
