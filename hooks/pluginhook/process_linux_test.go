package pluginhook_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tus/tusd/hooks/pluginhook"
)

// runs reports whether a process exists that has not ended.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		stat, _ := os.ReadFile(name) // it may have ended
		var child, parent int
		var state string
		if _, behind, ok := strings.Cut(string(stat), ") "); !ok {
			continue
		} else if _, err := fmt.Sscan(behind, &state, &parent); err != nil || parent != pid {
			continue
		}
		if _, err := fmt.Sscan(string(stat), &child); err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
	}
	return children
}

// beParent starts a plugin, says so, and waits to be killed.
func beParent(path string) int {
	h := &pluginhook.Hook{Path: path}
	if err := h.Setup(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	select {}
}

// A plugin does not outlive a tusd that was killed.
func TestParentIsKilled(t *testing.T) {
	for _, folder := range []string{"ours", "v2"} {
		t.Run(folder, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "TUSD_TEST_PARENT_OF="+build(t, folder), "TUSD_TEST_STARTS="+filepath.Join(t.TempDir(), "starts"))
			output, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
				t.Errorf("%q, %v", line, err)
			}
			children := childrenOf(t, cmd.Process.Pid)
			if len(children) != 1 {
				t.Errorf("the plugin is not among the processes %d", children)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			cmd.Wait()
			for _, pid := range children {
				eventually(t, "the plugin ends", func() bool { return !runs(pid) })
			}
		})
	}
}

// A plugin that does not even answer to Close is killed.
func TestCloseOfAStoppedProcess(t *testing.T) {
	p := start(t, "ours")
	pid := p.pids()[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
