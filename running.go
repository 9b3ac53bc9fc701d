package tusd

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// RunningRequest is a request whose content is being received.
type RunningRequest struct {
	ID        string    // of the upload
	Method    string    // the effective one, after X-HTTP-Method-Override
	RequestID string    // of the answer's X-Request-Id and of the log line
	Client    string    // address of the client, as the log has it
	Since     time.Time // when the server began to receive the content
	Offset    int64     // of the upload at that time
	Received  int64     // bytes of the content that have been read; fewer may be stored
}

// Running returns the requests whose content is being received, the oldest first, until it
// is stored. An upload has at most one in this process, unless its lock was lost. Requests
// that wait for a lock, and uploads that no request continues at the moment, are not listed.
// Safe for concurrent use.
func (h *Handler) Running() []RunningRequest { return h.engine.running.list() }

// StopUpload ends the request whose content is being received for the upload id, with an
// answer for its client; nil: ErrUploadStopped, after which clients give up. A message for
// people comes from ErrUploadStopped.Refuse. After a transient answer, such as
// ErrUploadInterrupted, the client tries again.
//
// The client gets the answer at once, also if it is sending. Bytes that have arrived are
// stored, except content with a checksum, of which nothing is stored. The upload stays and
// can be continued: to remove it, call Terminate.
//
// It returns false if no content is being received, or its end has been read. After true,
// the request may still end in another way: the client disconnects, or all of the content
// had arrived, and it counts. Safe for concurrent use, also in callbacks.
func (h *Handler) StopUpload(id string, answer *Error) bool {
	return h.engine.stopRunning(id, h.validAnswer(id, answer))
}

// validAnswer returns the answer for a request that a program stops.
func (h *Handler) validAnswer(id string, answer *Error) *Error {
	answer = cmp.Or(answer, ErrUploadStopped)
	if !isFinalStatus(answer.Response.StatusCode) {
		h.log.Error("StopUpload has a status that no answer can have", "id", id, "status", answer.Response.StatusCode)
		answer = answer.Refuse(HTTPResponse{Body: answer.Response.Body, Header: answer.Response.Header})
	}
	return answer
}

// stopRunning aborts the bodies that are being received for an upload. It reports whether
// there was one.
func (e *engine) stopRunning(id string, answer *Error) (stopped bool) {
	for _, r := range e.running.of(id) {
		stopped = r.op.body.abort(answer) || stopped // does nothing if it has ended meanwhile
	}
	return stopped
}

// reception is the receiving of one body. It is a part of the operation, so that a small
// upload allocates nothing for it.
type reception struct {
	id     string // of the upload
	offset int64  // of the upload when it began
	since  time.Time
	op     *operation // with the body
	next   *reception // of the same upload
}

// describe returns r for programs. r is being received.
func (r *reception) describe() RunningRequest {
	d := r.op.from.identify()
	d.ID, d.Offset, d.Since, d.Received = r.id, r.offset, r.since, r.op.body.received.Load()
	d.Method, d.RequestID = strings.Clone(d.Method), strings.Clone(d.RequestID) // they are slices of the header
	return d
}

// receptions are the bodies that are being received, by upload. The lock of an upload allows
// one at a time, but a lost lock may be held by another request while the first one ends.
// The zero value is ready to use.
type receptions struct {
	mu   sync.Mutex
	byID map[string]*reception
}

func (l *receptions) add(r *reception) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = make(map[string]*reception)
	}
	r.next = l.byID[r.id]
	l.byID[r.id] = r
}

func (l *receptions) remove(r *reception) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.byID[r.id].without(r)
	if first == nil {
		delete(l.byID, r.id)
		return
	}
	l.byID[r.id] = first
}

// without returns the list that begins with r, without other.
func (r *reception) without(other *reception) *reception {
	if r == other {
		return r.next
	}
	r.next = r.next.without(other)
	return r
}

// receiving reports whether a body is being received for the upload.
func (l *receptions) receiving(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id] != nil
}

// of returns the bodies that are being received for an upload.
func (l *receptions) of(id string) (all []*reception) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := l.byID[id]; r != nil; r = r.next {
		all = append(all, r)
	}
	return all
}

// list describes all of them, the oldest first.
func (l *receptions) list() (all []RunningRequest) {
	l.mu.Lock()
	for _, r := range l.byID {
		for ; r != nil; r = r.next {
			all = append(all, r.describe())
		}
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b RunningRequest) int { return a.Since.Compare(b.Since) })
	return all
}
