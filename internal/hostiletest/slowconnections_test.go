//go:build linux

package hostiletest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"
)

// TestMemoryOfSlowConnections opens connections that send 1 MB at full speed, and then a byte
// every half second. What a fast client needs is given back when the client is slow.
func TestMemoryOfSlowConnections(t *testing.T) {
	const (
		connections = 2000
		fast        = 1_000_000
		maxEach     = 40 << 10 // bytes of resident memory for each connection
		slow        = 10 * time.Second
	)
	to := onFiles(t, "-max-connections-per-client", "0", "-max-uploads-per-client", "0")
	a := newAttacker(t.Context(), t, to)
	conns := make([]net.Conn, connections)
	content := bytes.Repeat([]byte("x"), fast)
	err := a.parallel(connections, func(i int) error {
		path, err := a.create(10 * fast)
		if err == nil {
			conns[i], err = a.sendText(a.head("PATCH", path, "Upload-Offset: 0", offsetStream, fmt.Sprint("Content-Length: ", 10*fast)))
		}
		if err == nil {
			_, err = conns[i].Write(content)
		}
		return err
	})
	for sent, paced := time.Now(), a.pace(2*connections); err == nil && time.Since(sent) < slow && paced.step(); {
		_, err = conns[paced.steps%connections].Write([]byte("x"))
	}
	now, measureErr := to.measure()
	stacks, stackErr := to.profile("heap?debug=1", stackInUse)
	if err := errors.Join(err, measureErr, stackErr); err != nil {
		t.Fatal(err)
	}
	each := func(n int64) float64 { return float64(n) / connections / 1024 }
	t.Logf("each connection: %.1f KiB resident, %.1f KiB of live heap; %.1f KiB of stacks", each(now.resident-to.idle.resident), each(now.heap-to.idle.heap), each(stacks))
	t.Logf("idle: %v; now: %v", to.idle, now)
	if resident := now.resident - to.idle.resident; resident > connections*maxEach {
		t.Errorf("each connection takes %.1f KiB, want at most %.1f", each(resident), each(connections*maxEach))
	}
}

// stackInUse is the first number of the line of the stacks.
var stackInUse = regexp.MustCompile(`(?m)^# Stack = (\d+) / `)
