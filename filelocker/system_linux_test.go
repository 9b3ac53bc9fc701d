package filelocker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
)

// process is another process that serves locks on a directory.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	return p
}

// commandAndExpect sends a command and compares the answer.
func (p *process) commandAndExpect(command, want string) {
	p.t.Helper()
	p.send(command)
	p.expect(want)
}

// send sends a command. A dead process gives no answer.
func (p *process) send(command string) { io.WriteString(p.in, command+"\n") }

// expect reads the next answer and compares it.
func (p *process) expect(want string) {
	p.t.Helper()
	for p.lines.Scan() {
		if strings.HasPrefix(p.lines.Text(), "preempted") && want != "preempted" {
			continue // a lock of the process is preempted
		}
		if strings.HasPrefix(p.lines.Text(), want) {
			return
		}
		break
	}
	p.t.Fatalf("the process answers %q, want %q", p.lines.Text(), want)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop stops the process, and returns when it has.
func (p *process) stop() {
	p.t.Helper()
	p.signal(unix.SIGSTOP)
	stat := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	eventually(p.t, "the process stops", func() bool {
		content, err := os.ReadFile(stat)
		if err != nil {
			p.t.Fatal(err)
		}
		_, state, _ := strings.Cut(string(content), ") ")
		return strings.HasPrefix(state, "T")
	})
}

// kill ends the process as kill -9 does, and returns when it has.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only if it has ended already
	p.cmd.Wait()         // fails for the same reason
}

// The locks of a killed process are free as soon as it has ended.
func TestLocksOfAKilledProcessAreFree(t *testing.T) {
	for range 5 {
		dir := t.TempDir()
		l := onDir("default", dir)
		p := startProcess(t, childOn("default", dir))
		p.commandAndExpect("lock 0 a", "granted")
		wantRefused(t, l, "a")
		p.kill()
		wantUnlocked(t, mustLock(t, l, "a", tusd.LockTry))
		l.Close()
	}
}

// Two containers on one directory both have process id 1, each in its own namespace.
func TestTwoProcessesWithTheSameID(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.lock"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err) // tusd v2 takes it for its own
	}
	first, second := startProcess(t, inPIDNamespace(t, dir)), startProcess(t, inPIDNamespace(t, dir))
	first.commandAndExpect("lock 0 a", "granted")
	second.commandAndExpect("lock 2 a", "error "+tusd.ErrUploadLocked.Error())
	second.commandAndExpect("lock 2 b", "granted")
	first.commandAndExpect("lock 2 b", "error "+tusd.ErrUploadLocked.Error())
	first.kill()
	second.commandAndExpect("lock 2 a", "granted") // although a.lock has the id of the process itself
}

// inPIDNamespace returns the command of a child with its own process id namespace.
func inPIDNamespace(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	try := exec.Command("true")
	try.SysProcAttr = own
	err := try.Run()
	require.Need(t, "namespaces", err == nil, fmt.Sprintf("a process id namespace cannot be made here (root is needed): %v", err))
	cmd := childOn("default", dir)
	cmd.SysProcAttr = own
	return cmd
}

// On a disk without a free block locks are granted, handed over and released, also by
// lockers that start then.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	before := onDir("default", dir)
	defer before.Close()
	wantUnlocked(t, mustLock(t, before, "a", tusd.LockTry))
	fill(t, dir)
	after := onDir("default", dir)
	defer after.Close()
	holder := mustLock(t, before, "a", tusd.LockTry)
	preempter := request(t, after, "a", tusd.LockPreempt)
	wantPreemptedSoon(t, holder)
	wantUnlocked(t, holder)
	wantUnlocked(t, granted(t, "the preempter", preempter))
	for range 100 {
		wantUnlocked(t, mustLock(t, after, "b", tusd.LockTry))
	}
}

// smallDisk mounts a file system of 1 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if err == nil {
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	require.Need(t, "mounts", err == nil, "a tmpfs cannot be mounted here")
	return dir
}

// fill leaves no free block on the disk of dir.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
}

// A program that locks the whole file, as backups do, only preempts the holders.
func TestWholeFileLocked(t *testing.T) {
	ls := lockers(t, "default", 2)
	lease := mustLock(t, ls[0], "a", tusd.LockTry)
	file, err := os.OpenFile(filepath.Join(ls[0].Path, slotFileName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: requestSlot.first()}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	wantPreemptedSoon(t, lease) // every request slot seems to be taken
	wantUnlocked(t, lease)
}

// Stores with this locker share a directory. A store whose locker reaches one process
// only is refused there.
func TestFilestoresOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, l := range []*FileLocker{New(dir), New(dir)} {
		defer l.Close()
		store := filestore.New(dir)
		if err := store.Open(t.Context(), tusd.Env{Locker: l}); err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		wantUnlocked(t, mustLock(t, l, "a", tusd.LockTry))
	}
	if err := filestore.New(dir).Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err == nil {
		t.Error("a store with a locker of one process is opened")
	}
}

// No request creates a file, whether the lock is free, waited for or handed over.
func TestLocksCreateNoFiles(t *testing.T) {
	ls := lockers(t, "default", 2)
	for _, l := range ls {
		wantUnlocked(t, mustLock(t, l, "a", tusd.LockTry)) // opens the directory
	}
	made := watchNames(t, ls[0].Path)
	for range 1000 {
		wantUnlocked(t, mustLock(t, ls[0], "a", tusd.LockTry))
	}
	for _, mode := range []tusd.LockMode{tusd.LockPreempt, tusd.LockWait} {
		holder := mustLock(t, ls[0], "a", tusd.LockTry)
		next := request(t, ls[1], "a", mode)
		wantRefused(t, ls[1], "a")
		wantUnlocked(t, holder)
		wantUnlocked(t, granted(t, "the next", next))
	}
	if made() {
		t.Error("a file was created in the directory")
	}
	if err := os.WriteFile(filepath.Join(ls[0].Path, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !made() {
		t.Error("the creation of a file is not seen: this test proves nothing")
	}
}

// watchNames watches dir. made reports whether a file was created since the last call.
func watchNames(t *testing.T, dir string) (made func() bool) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		n, err := unix.Read(fd, make([]byte, 64<<10))
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		return n > 0
	}
}
