// Package filehook calls executables as hooks: for each event the file of a directory that has
// its name, like post-finish. The messages are those of tusd v2.
package filehook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/hooks"
)

// Hook calls executables.
//
// An executable has the directory as its working directory, and the environment of the process
// with TUS_ID, TUS_SIZE and TUS_OFFSET. It reads the hooks.HookRequest as JSON from its
// standard input, and may write a hooks.HookResponse as JSON to its standard output. Lines that
// it writes before that are ignored; after it there are none. An exit status other than 0 is a
// failure, whose error has the first 500 bytes of the output. Processes that it leaves behind go on. For an event without a file there is
// hooks.ErrNothingToCall.
type Hook struct {
	Dir string
	// Timeout is how long an executable may run; 0: 10 min. Then it is killed, together with
	// the processes that it has started.
	Timeout time.Duration
	// Stderr gets what executables write to their standard error; nil: os.Stderr.
	Stderr io.Writer

	drained atomic.Int32 // outputs of executables that have ended
}

var _ hooks.Hook = (*Hook)(nil)

const defaultTimeout = 10 * time.Minute

// Name returns "file".
func (h *Hook) Name() string { return "file" }

// Setup returns an error if Dir is no directory.
func (h *Hook) Setup(context.Context) error {
	info, err := os.Stat(h.Dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", h.Dir)
	}
	return nil
}

// Close does nothing.
func (h *Hook) Close() error { return nil }

// InvokeHook runs the executable of the event.
func (h *Hook) InvokeHook(ctx context.Context, request hooks.HookRequest) (hooks.HookResponse, error) {
	program, err := find(h.Dir, string(request.Type))
	if err != nil {
		return hooks.HookResponse{}, err
	}
	message, err := json.Marshal(request)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	timeout := h.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it has run for %v", timeout))
	defer cancel()
	output, err := h.run(ctx, program, message, request.Event.Upload)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	return parse(output)
}

// missing returns hooks.ErrNothingToCall if there is no file at a path that cannot be opened because of
// err. A symbolic link without a target is a file, and so may be one in a directory that is gone.
func missing(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is a broken symbolic link", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	return hooks.ErrNothingToCall
}

// run runs a program and returns its output.
func (h *Hook) run(ctx context.Context, program string, message []byte, upload hooks.Upload) ([]byte, error) {
	pipe, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(),
		"TUS_ID="+upload.ID, "TUS_SIZE="+strconv.FormatInt(upload.Size, 10), "TUS_OFFSET="+strconv.FormatInt(upload.Offset, 10))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(message), stdout, h.Stderr
	if h.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	cmd.WaitDelay = outputDelay
	killGroup(cmd)
	err = cmd.Start()
	stdout.Close()
	if err != nil {
		pipe.Close()
		return nil, err
	}
	output := newOutput(pipe)
	err = cmd.Wait()
	if ctx.Err() != nil {
		pipe.Close()
		return nil, context.Cause(ctx)
	}
	text, full := h.takeOutput(output)
	if err != nil && !isUnread(err) && !errors.Is(err, exec.ErrWaitDelay) { // after that it has ended well, its children go on
		return nil, withOutput(err, text)
	}
	if full {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", hooks.ErrUnreadable, maxOutput)
	}
	return text, nil
}

// maxLogged is how many bytes of an output the error of a failed executable has.
const maxLogged = 500

// withOutput adds what an executable has printed to its error, for the log.
func withOutput(err error, output []byte) error {
	output = bytes.TrimSpace(output)
	if len(output) == 0 {
		return err
	}
	return fmt.Errorf("%w, its output: %q", err, output[:min(len(output), maxLogged)])
}

// parse decodes the answer in the output of an executable: what begins at the first line with an
// opening brace. All of that counts: a later line never replaces a refusal.
func parse(output []byte) (hooks.HookResponse, error) {
	if i := bytes.Index(output, []byte("\n{")); i >= 0 && !bytes.HasPrefix(bytes.TrimSpace(output), []byte("{")) {
		output = output[i+1:]
	}
	return hooks.ParseResponse(output)
}
