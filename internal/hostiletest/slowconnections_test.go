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

// Connections that send fastBytes at full speed, and then a byte every half second. The
// daemon gives back what a fast client needs when the client is slow.
const (
	slowConnections = 2000
	fastBytes       = 1_000_000
	maxResidentEach = 40 << 10 // bytes for each connection
	slowTime        = 10 * time.Second
)

func TestMemoryOfSlowConnections(t *testing.T) {
	t.Parallel()
	length := fmt.Sprint("Content-Length: ", 10*fastBytes)
	for name, head := range map[string]func(*attacker) (string, error){
		"PATCH": func(a *attacker) (string, error) {
			path, err := a.create(10 * fastBytes)
			return a.head("PATCH", path, "Upload-Offset: 0", offsetStream, length), err
		},
		"creation": func(a *attacker) (string, error) {
			return a.head("POST", uploads, fmt.Sprint("Upload-Length: ", 10*fastBytes), offsetStream, length), nil
		},
		"creation of the IETF draft": func(a *attacker) (string, error) {
			return draftHead("POST", a.Address, uploads, "Upload-Complete: ?1", length), nil
		},
	} {
		t.Run(name, func(t *testing.T) { testSlowConnections(t, head) })
	}
}

// testSlowConnections opens connections with requests of this head.
func testSlowConnections(t *testing.T, head func(*attacker) (string, error)) {
	to := onFiles(t)
	a := newAttacker(t.Context(), t, to)
	conns := make([]net.Conn, slowConnections)
	fast := bytes.Repeat([]byte("x"), fastBytes)
	err := a.parallel(slowConnections, func(i int) error {
		text, err := head(a)
		if err == nil {
			conns[i], err = a.sendText(text)
		}
		if err == nil {
			_, err = conns[i].Write(fast)
		}
		return err
	})
	for begun, paced := time.Now(), a.pace(2*slowConnections); err == nil && time.Since(begun) < slowTime && paced.step(); {
		_, err = conns[paced.steps%slowConnections].Write([]byte("x"))
	}
	now, measureErr := to.measure()
	stacks, stackErr := to.profile("heap?debug=1", stacksInUse)
	if err := errors.Join(err, measureErr, stackErr); err != nil {
		t.Fatal(err)
	}
	each := func(n int64) float64 { return float64(n) / slowConnections / 1024 }
	resident := now.resident - to.idle.resident
	t.Logf("each connection takes %.1f KiB: %.1f of live heap, %.1f of stacks", each(resident), each(now.heap-to.idle.heap), each(stacks))
	if now.goroutines < slowConnections {
		t.Errorf("%d goroutines: connections have ended", now.goroutines)
	}
	if resident > slowConnections*maxResidentEach {
		t.Errorf("each connection takes %.1f KiB, want at most %d", each(resident), maxResidentEach/1024)
	}
}

// stacksInUse matches the bytes of all stacks.
var stacksInUse = regexp.MustCompile(`(?m)^# Stack = (\d+) / `)
