//go:build linux

package hostiletest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openConns are the names of open connections, by the attacker's port.
type openConns map[int]string

// openEach opens one connection of each kind.
func (a *attacker) openEach(t *testing.T, kinds []stall) openConns {
	t.Helper()
	all := make(openConns)
	for _, s := range kinds {
		conn, err := s.open(a)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		all[conn.LocalAddr().(*net.TCPAddr).Port] = s.name
	}
	return all
}

// stillOpen returns the connections for which the daemon still has a descriptor. A closed
// connection does not count, even if the system still sends its data.
func (to *target) stillOpen(all openConns) (names []string, err error) {
	table, err := os.Open(fmt.Sprintf("/proc/%d/net/tcp", to.PID()))
	if err != nil {
		return nil, err
	}
	defer table.Close()
	own, err := to.sockets()
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // sl local remote state queues timer retransmits uid timeout inode
		if len(fields) < 10 || !own[fields[9]] || hexPort(fields[1]) != decimalPort(to.Address) {
			continue
		}
		if name, ours := all[hexPort(fields[2])]; ours {
			names = append(names, name)
		}
	}
	return names, nil
}

// sockets returns the inodes of the daemon's sockets. The table has those of all
// processes.
func (to *target) sockets() (map[string]bool, error) {
	folder := fmt.Sprintf("/proc/%d/fd", to.PID())
	descriptors, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	inodes := make(map[string]bool)
	for _, d := range descriptors {
		link, err := os.Readlink(folder + "/" + d.Name())
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok { // otherwise it was closed meanwhile
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// hexPort returns the port of ADDRESS:PORT in hexadecimal digits.
func hexPort(address string) int {
	_, digits, _ := strings.Cut(address, ":")
	port, err := strconv.ParseInt(digits, 16, 32)
	if err != nil {
		return -1 // the heading of the table
	}
	return int(port)
}

// decimalPort returns the port of ADDRESS:PORT in decimal digits.
func decimalPort(address string) int {
	_, digits, _ := strings.Cut(address, ":")
	port, err := strconv.Atoi(digits)
	if err != nil {
		return -2
	}
	return port
}

// awaitClosed waits until the daemon has closed all connections, and returns the open ones.
func (to *target) awaitClosed(all openConns, limit time.Duration) (left []string, err error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if left, err = to.stillOpen(all); err != nil || len(left) == 0 || time.Now().After(deadline) {
			return left, err
		}
	}
}

// TestIdleConnectionsEnd opens a connection of each kind that makes no progress. The
// server closes each.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(testing.TB, ...string) *target{"files": onFiles, "S3": onS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := begin(t, "-network-timeout", "1s")
			before := to.idle
			a := newAttacker(t.Context(), t, to)
			path, err := a.createComplete(download)
			if err != nil {
				t.Fatal(err)
			}
			all := a.openEach(t, stalls(path))
			left, err := to.awaitClosed(all, waitTimeout)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range left {
				t.Errorf("not closed: %s", name)
			}
			to.awaitBaseline(t, before, false)
		})
	}
}

// TestShutdownUnderAttack stops the server while a connection of each kind is open. The
// shutdown may take 10 s, and takes about 3.
func TestShutdownUnderAttack(t *testing.T) {
	const limit = 10 * time.Second
	to := onFiles(t, "-shutdown-timeout", "20s", "-network-timeout", "60s")
	a := newAttacker(t.Context(), t, to)
	path, err := a.createComplete(download)
	if err != nil {
		t.Fatal(err)
	}
	all := a.openEach(t, stalls(path))
	begun, stopped := time.Now(), make(chan error, 1)
	go func() { stopped <- to.Stop() }()
	left, err := to.awaitClosed(all, limit)
	for _, name := range left {
		t.Errorf("delays the shutdown: %s", name)
	}
	if err != nil {
		t.Logf("the process has ended: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	took := time.Since(begun)
	t.Logf("the shutdown took %v", took)
	if took > limit {
		t.Errorf("the shutdown took %v, want at most %v", took, limit)
	}
}
