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

// fault is a set of system calls that fail with the error that a broken or
// full disk gives, while clients make an upload of a length.
type fault struct {
	calls, errno string
	length       int64 // sync_file_range is of use only behind some MiB
}

// faults are met one after another. write is not among them:
// answers and start-up lines are written by it, too, and strace cannot tell
// them from records, whose failing writes TestFullDisk has.
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

// sweepLimit bounds a sweep where strace is not required.
const sweepLimit = 4

// TestFailingSystemCalls lets the first, second, third ... of each kind of call
// fail, once and for ever, until a run meets no fault: clients get nothing but
// answers after which they come back, and after a restart on a healthy disk
// everything that was acknowledged is there.
//
// strace counts the calls of each thread for itself, so one run may meet a
// fault more than once.
func TestFailingSystemCalls(t *testing.T) {
	NeedStrace(t)
	for _, f := range faults {
		for _, ever := range []string{"", "+"} {
			t.Run(fmt.Sprintf("%s %s%s", f.calls, f.errno, ever), func(t *testing.T) {
				t.Parallel()
				sweep(t, f, ever)
			})
		}
	}
}

// sweep lets the n-th call fail, n = 1, 2, 3 ..., with "+" all from there on.
func sweep(t *testing.T, f fault, ever string) {
	for n := 1; require.Required("strace") || n <= sweepLimit; n++ {
		inject := fmt.Sprintf("inject=%s:error=%s:when=%d%s", f.calls, f.errno, n, ever)
		met, err := runWithFault(t, f, inject)
		if err != nil {
			t.Errorf("%s: %v", inject, err)
		}
		if !met && n == 1 {
			t.Errorf("%s: no such call is made, this proves nothing", f.calls)
		}
		if !met {
			return
		}
	}
}

// runWithFault runs clients on a daemon with a fault, and checks in its next
// life what they were promised. It reports whether the fault occurred.
func runWithFault(t *testing.T, f fault, inject string) (met bool, err error) {
	trace := filepath.Join(t.TempDir(), "trace")
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")}
	faulty := launch
	faulty.Tracer = Strace(trace, "-e", "trace="+f.calls, "-e", inject)
	promises, err := runClients(t, faulty, f.length)
	if err != nil {
		return true, err
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		return true, err
	}
	met = slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "(INJECTED)") })
	return met, checkAfter(t, launch, AllPromises, promises)
}

// runClients runs stubborn clients on a daemon and kills it. One that refuses
// to start on its broken disk, and says so, is no error.
func runClients(t *testing.T, launch Launch, length int64) ([]*Promise, error) {
	daemon, err := TryStart(t, launch)
	if err != nil {
		if strings.Contains(err.Error(), "\ntusd: ") {
			return nil, nil
		}
		return nil, err
	}
	defer daemon.Kill()
	s := &stubborn{Client: daemon.Client()}
	err = s.run(length)
	return s.promises, err
}

// stubborn is a client that retries after errors, for a limited time.
type stubborn struct {
	*tusclient.Client
	promises []*Promise
}

// attempts bounds how often a stubborn client comes back.
const attempts = 4

// run uploads length bytes and less, concatenates and removes. An error means that an answer was of
// a kind that would have made clients throw an upload away.
func (s *stubborn) run(length int64) error {
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
	doomed, err := s.upload(Content{{Seed: 3, Length: 1000}})
	if err != nil {
		return err
	}
	return s.remove(doomed)
}

// upload makes an upload and sends it in two requests. It returns nil if the
// server could not.
func (s *stubborn) upload(content Content, header ...string) (*Promise, error) {
	created, err := s.create(func() (tusclient.Answer, error) { return s.Create(content.Length(), header...) })
	if err != nil || created == nil {
		return nil, err
	}
	p := &Promise{Path: created.Path(), Content: content}
	s.promises = append(s.promises, p)
	for range attempts {
		if err := s.patch(p, p.Offset+(content.Length()-p.Offset+1)/2); err != nil {
			return nil, err
		}
		if err := s.look(p); err != nil {
			return nil, err
		}
		if err := s.patch(p, content.Length()); err != nil || p.Complete() {
			return p, err
		}
	}
	return p, nil
}

// create repeats a POST. It returns nil if the server could not.
func (s *stubborn) create(post func() (tusclient.Answer, error)) (*tusclient.Answer, error) {
	for range attempts {
		created, err := post()
		done, err := s.judge("POST", created, err, http.StatusCreated)
		if done {
			return &created, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// judge reports whether an answer was the wanted one. Transient errors, and
// no answer at all, are no errors.
func (s *stubborn) judge(what string, answer tusclient.Answer, err error, status int) (done bool, _ error) {
	switch {
	case err != nil || answer.Transient():
		return false, nil
	case answer.Status == status:
		return true, nil
	}
	return false, fmt.Errorf("%s: %v", what, answer)
}

// patch sends what is missing up to end. A 409 after an answer that was lost
// tells the offset.
func (s *stubborn) patch(p *Promise, end int64) error {
	answer, err := s.Patch(p.Path, p.Offset, p.Content.Piece(p.Offset, end-p.Offset))
	if err == nil {
		p.Shown(answer)
	}
	if answer.Status == http.StatusConflict {
		return nil
	}
	_, err = s.judge("PATCH", answer, err, http.StatusNoContent)
	return err
}

// look asks for the offset: 200, or 423 with Retry-After and nothing else.
func (s *stubborn) look(p *Promise) error {
	answer, err := s.Head(p.Path)
	if err != nil || answer.Status == http.StatusLocked && answer.Transient() {
		return nil
	}
	p.Shown(answer)
	return answer.Want("HEAD", http.StatusOK)
}

func (s *stubborn) concatenate(partials ...*Promise) error {
	var content Content
	var paths []string
	for _, p := range partials {
		if p == nil || !p.Complete() {
			return nil // the disk is too broken for this
		}
		content, paths = append(content, p.Content...), append(paths, p.Path)
	}
	created, err := s.create(func() (tusclient.Answer, error) { return s.Concat(paths...) })
	if err != nil || created == nil {
		return err
	}
	final := &Promise{Path: created.Path(), Content: content}
	final.Shown(*created)
	s.promises = append(s.promises, final)
	return s.look(final)
}

func (s *stubborn) remove(p *Promise) error {
	if p == nil {
		return nil
	}
	p.Ending = true
	for range attempts {
		answer, err := s.Delete(p.Path)
		p.Gone = p.Gone || err == nil && (answer.Status == http.StatusNoContent || answer.Status == http.StatusNotFound)
		if p.Gone {
			return nil
		}
		if _, err := s.judge("DELETE", answer, err, http.StatusNoContent); err != nil {
			return err
		}
	}
	return nil
}
