//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// fault is a set of system calls, and the error of a broken or full disk that one of them
// returns while clients make an upload.
type fault struct {
	calls, errno string
	length       int64 // of the upload; sync_file_range needs some MiB
}

// faults does not have write: the daemon writes answers and logs with it, too, and strace
// cannot tell them from records. TestFullDisk has writes of records that fail.
var faults = []fault{
	{"fsync,fdatasync", "EIO", 1 << 20},
	{"sync_file_range", "EIO", 9 << 20},
	{"pwrite64", "EIO", 1 << 20},
	{"pwrite64", "ENOSPC", 1 << 20},
	{"copy_file_range", "EIO", 1 << 20},
	{"renameat,renameat2,linkat", "EIO", 1 << 20},
	{"unlinkat", "EIO", 1 << 20},
	{"openat", "ENOSPC", 1 << 20},
}

// maxFaults bounds the calls that fail of each kind where strace is not required.
const maxFaults = 4

// TestFailingSystemCalls lets the first, second, third ... call of each kind fail, only this
// one or all from this one on, until no call fails any more. Clients must get no answer but
// transient errors, and after a restart on a healthy disk all acknowledged data is there.
//
// strace counts the calls of each thread separately, so more than one call may fail in a run.
func TestFailingSystemCalls(t *testing.T) {
	NeedStrace(t)
	for _, f := range faults {
		for _, rest := range []string{"", "+"} {
			t.Run(fmt.Sprintf("%s %s%s", f.calls, f.errno, rest), func(t *testing.T) {
				t.Parallel()
				failEachCall(t, f, rest)
			})
		}
	}
}

// failEachCall lets the n-th call fail, n = 1, 2, 3 ...; rest is "+": all calls from it on.
func failEachCall(t *testing.T, f fault, rest string) {
	for n := 1; require.Required("strace") || n <= maxFaults; n++ {
		inject := fmt.Sprintf("inject=%s:error=%s:when=%d%s", f.calls, f.errno, n, rest)
		injected, err := runWithFault(t, f, inject)
		if err != nil {
			t.Errorf("%s: %v", inject, err)
		}
		if !injected && n == 1 {
			t.Errorf("%s: no such call is made: this proves nothing", f.calls)
		}
		if !injected {
			return
		}
	}
}

// runWithFault runs a client on a daemon with a fault, and checks the acknowledgements with a
// new daemon. It reports whether a call failed.
func runWithFault(t *testing.T, f fault, inject string) (injected bool, err error) {
	trace := filepath.Join(t.TempDir(), "trace")
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
	faulty := launch
	faulty.Tracer = Strace(trace, "-e", "trace="+f.calls, "-e", inject)
	acks, err := runClients(t, faulty, f.length)
	if err != nil {
		return true, err
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		return true, err
	}
	injected = slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "(INJECTED)") })
	return injected, checkAfterRestart(t, launch, EveryAck, acks)
}

// runClients runs a client on a daemon and kills the daemon. A daemon that does not start on
// the broken disk, with an error message, is right.
func runClients(t *testing.T, launch Launch, length int64) ([]*Ack, error) {
	daemon, err := TryStart(t, launch)
	if err != nil {
		if strings.Contains(err.Error(), "\ntusd: ") {
			return nil, nil
		}
		return nil, err
	}
	defer daemon.Kill()
	s := &retryingClient{Client: daemon.Client()}
	err = s.run(length)
	return s.acks, err
}

// retryingClient is a client that retries after errors, a limited number of times.
type retryingClient struct {
	*tusclient.Client
	acks []*Ack
}

// maxAttempts bounds the retries of a request.
const maxAttempts = 4

// run makes, concatenates and terminates uploads of length bytes and less. It returns an
// error after an answer that makes clients give up an upload.
func (s *retryingClient) run(length int64) error {
	first, err := s.upload(Content{{Seed: 1, Length: length}}, "Upload-Concat: partial")
	if err != nil {
		return err
	}
	second, err := s.upload(Content{{Seed: 2, Length: 10}}, "Upload-Concat: partial")
	if err != nil {
		return err
	}
	if err := s.concatenate(first, second); err != nil {
		return err
	}
	third, err := s.upload(Content{{Seed: 3, Length: 1000}})
	if err != nil {
		return err
	}
	return s.remove(third)
}

// upload makes an upload and sends it in two requests. It returns nil if the server has only
// transient errors.
func (s *retryingClient) upload(content Content, header ...string) (*Ack, error) {
	created, err := s.create(func() (tusclient.Answer, error) { return s.Create(content.Length(), header...) })
	if err != nil || created == nil {
		return nil, err
	}
	ack := &Ack{Path: created.Path(), Content: content}
	s.acks = append(s.acks, ack)
	for range maxAttempts {
		if err := s.patch(ack, ack.Offset+(content.Length()-ack.Offset+1)/2); err != nil {
			return nil, err
		}
		if err := s.noteHead(ack); err != nil {
			return nil, err
		}
		if err := s.patch(ack, content.Length()); err != nil || ack.Complete() {
			return ack, err
		}
	}
	return ack, nil
}

// create repeats a POST. It returns nil if the server has only transient errors.
func (s *retryingClient) create(post func() (tusclient.Answer, error)) (*tusclient.Answer, error) {
	for range maxAttempts {
		created, err := post()
		done, err := s.checkAnswer("POST", created, err, http.StatusCreated)
		if done {
			return &created, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// checkAnswer reports whether an answer has the status. Transient errors and missing answers
// are no errors.
func (s *retryingClient) checkAnswer(what string, answer tusclient.Answer, err error, status int) (done bool, _ error) {
	switch {
	case err != nil || answer.Transient():
		return false, nil
	case answer.Status == status:
		return true, nil
	}
	return false, fmt.Errorf("%s: %v", what, answer)
}

// patch sends the content up to end. A 409 is right after an answer that was lost.
func (s *retryingClient) patch(ack *Ack, end int64) error {
	answer, err := s.Patch(ack.Path, ack.Offset, ack.Content.Bytes(ack.Offset, end-ack.Offset))
	if err == nil {
		ack.NoteOffset(answer)
	}
	if answer.Status == http.StatusConflict {
		return nil
	}
	_, err = s.checkAnswer("PATCH", answer, err, http.StatusNoContent)
	return err
}

// noteHead notes the offset. HEAD must get 200, or 423 with Retry-After.
func (s *retryingClient) noteHead(ack *Ack) error {
	answer, err := s.Head(ack.Path)
	if err != nil || answer.Status == http.StatusLocked && answer.Transient() {
		return nil
	}
	ack.NoteOffset(answer)
	return answer.Want("HEAD", http.StatusOK)
}

func (s *retryingClient) concatenate(partials ...*Ack) error {
	var content Content
	var paths []string
	for _, ack := range partials {
		if ack == nil || !ack.Complete() {
			return nil // the server had only transient errors
		}
		content, paths = append(content, ack.Content...), append(paths, ack.Path)
	}
	created, err := s.create(func() (tusclient.Answer, error) { return s.Concat(paths...) })
	if err != nil || created == nil {
		return err
	}
	final := &Ack{Path: created.Path(), Content: content}
	final.NoteOffset(*created)
	s.acks = append(s.acks, final)
	return s.noteHead(final)
}

func (s *retryingClient) remove(ack *Ack) error {
	if ack == nil {
		return nil
	}
	ack.Deleting = true
	for range maxAttempts {
		answer, err := s.Delete(ack.Path)
		ack.Deleted = ack.Deleted || err == nil && (answer.Status == http.StatusNoContent || answer.Status == http.StatusNotFound)
		if ack.Deleted {
			return nil
		}
		if _, err := s.checkAnswer("DELETE", answer, err, http.StatusNoContent); err != nil {
			return err
		}
	}
	return nil
}
