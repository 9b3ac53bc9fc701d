//go:build linux

package faulttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
)

// Command runs a command of tusd beside the daemon, with its flags, and returns what that
// prints.
func (l Launch) Command(words ...string) ([]byte, error) {
	line := append(append(words, l.storing()...), l.Flags...)
	command := exec.Command(l.Binary, line...)
	command.Env = append(command.Environ(), l.Env...)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		err = fmt.Errorf("tusd %s: %w: %s", strings.Join(line, " "), err, stderr.String())
	}
	return output, err
}

// AwaitDelivered waits until no event waits in the store.
func (l Launch) AwaitDelivered(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		waiting, err := l.Command("hooks", "ls", "-json")
		if err != nil || len(waiting) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v, events wait: %.3000s", limit, waiting)
		}
	}
}

// AddStored adds to the uploads that clients know those of the store, whose creation was
// not answered. It returns an error if they do not agree.
func (l Launch) AddStored(known map[string]eventcheck.Upload) error {
	list, err := l.Command("ls", "-json")
	if err != nil {
		return err
	}
	var all error
	for lines := json.NewDecoder(bytes.NewReader(list)); lines.More(); {
		var line struct {
			ID, State     string
			Bytes, Length *int64
		}
		if err := lines.Decode(&line); err != nil {
			return err
		}
		if line.State == "broken" { // half a creation
			continue
		}
		complete := line.State == "complete" || line.State == "partial" && line.Length != nil && *line.Bytes == *line.Length
		u, ok := known[line.ID]
		switch {
		case !ok:
			known[line.ID] = eventcheck.Upload{Finished: complete}
		case u.Removed:
			all = errors.Join(all, fmt.Errorf("upload %s was terminated, but is in the store", line.ID))
		case u.Finished != complete:
			all = errors.Join(all, fmt.Errorf("upload %s: the client knows that it is finished: %v; in the store it is %s", line.ID, u.Finished, line.State))
		}
	}
	return all
}
