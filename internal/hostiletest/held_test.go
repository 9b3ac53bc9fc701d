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

// kept are connections by what they do, until the server has ended them.
type kept map[int]string // by the attacker's port

// keep opens one connection of each kind, and n of it.
func (a *arena) keep(t *testing.T, kinds []stall) kept {
	t.Helper()
	all := make(kept)
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

// held returns those that the daemon still has a descriptor for. What the
// system itself still has to send for one that is closed counts no more.
func (to *target) held(all kept) (names []string, err error) {
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
		if len(fields) < 10 || !own[fields[9]] || portOf(fields[1]) != portOf2(to.Address) {
			continue
		}
		if name, ours := all[portOf(fields[2])]; ours {
			names = append(names, name)
		}
	}
	return names, nil
}

// sockets are the inodes of the daemon's sockets: the table has those of all
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
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok { // else it is closed by now
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// portOf reads ADDRESS:PORT in hexadecimal digits.
func portOf(address string) int {
	_, digits, _ := strings.Cut(address, ":")
	port, err := strconv.ParseInt(digits, 16, 32)
	if err != nil {
		return -1 // the heading of the table
	}
	return int(port)
}

func portOf2(address string) int {
	_, digits, _ := strings.Cut(address, ":")
	port, err := strconv.Atoi(digits)
	if err != nil {
		return -2
	}
	return port
}

// await waits until the daemon holds none of all.
func (to *target) await(all kept, limit time.Duration) (left []string, err error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if left, err = to.held(all); err != nil || len(left) == 0 || time.Now().After(deadline) {
			return left, err
		}
	}
}

// TestIdleConnectionsEnd has a connection of each kind wait, and not go away
// by itself: the server ends each.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(testing.TB, ...string) *target{"files": onFiles, "S3": onS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := begin(t, "-network-timeout", "1s")
			before := to.idle
			a := newArena(t.Context(), t, to)
			path, err := a.filled(download)
			if err != nil {
				t.Fatal(err)
			}
			all := a.keep(t, stalls(path))
			left, err := to.await(all, waitTimeout)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range left {
				t.Errorf("held for ever: %s", name)
			}
			to.givesBack(t, before, false)
		})
	}
}

// TestShutdownUnderAttack has a connection of each kind open when the server is told to
// end. It has 20 s, and needs about 3.
func TestShutdownUnderAttack(t *testing.T) {
	const limit = 10 * time.Second
	to := onFiles(t, "-shutdown-timeout", "20s", "-network-timeout", "60s")
	a := newArena(t.Context(), t, to)
	path, err := a.filled(download)
	if err != nil {
		t.Fatal(err)
	}
	all := a.keep(t, stalls(path))
	begun, stopped := time.Now(), make(chan error, 1)
	go func() { stopped <- to.Stop() }()
	left, err := to.await(all, limit)
	for _, name := range left {
		t.Errorf("holds the end: %s", name)
	}
	if err != nil {
		t.Logf("the process is gone: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	took := time.Since(begun)
	t.Logf("the end took %v", took)
	if took > limit {
		t.Errorf("the end took %v, want at most %v", took, limit)
	}
}
