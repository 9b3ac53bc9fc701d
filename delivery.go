package tusd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// EventReceiver gets the post-* events of a Handler in the background, see Config.Delivery.
type EventReceiver interface {
	// Deliver gives the receiver one event. No lock is held, so it may take long, and may call
	// the Handler. The events of one upload come in order and one at a time, those of different
	// uploads at the same time. The event belongs to the receiver.
	//
	// nil means that the receiver has the event. After an error or a panic the event is
	// delivered again. ctx ends when the handler shuts down; Deliver returns soon then.
	Deliver(ctx context.Context, event Event) error
}

// Delivery is how a Handler delivers its post-* events to a receiver that may be slow, or
// unreachable for a while. No request waits for it.
//
// The events of one upload arrive in order, and none after post-terminate or post-expire.
// Of the post-receive events that wait for a receiver, only the newest is kept. They are
// the only ones that are lost without BestEffort: Metrics.EventsDropped counts them.
//
// All others arrive at least once. That an upload is going to be created, finished or removed
// is kept in a side record, which is stored before the store acts and removed when the receiver
// has the event. So another process continues after a crash: with the uploads that the store
// has in that state, and with no others. What does not fit into memory waits in the store.
// An event arrives twice if the process ends between its arrival and the removal of its side
// record, and may if several processes serve the store. It has the same Event.ID then. A
// store without SideRecords keeps them in memory only.
type Delivery struct {
	Receiver EventReceiver
	// BestEffort stores no side records: that saves small writes. An event is lost if Deliver
	// fails, the process ends, or MaxBytes is reached.
	BestEffort bool
	// Types are the events that the receiver wants; nil: all. EventPostFinish of partial
	// uploads only if Config.PartialFinish is set.
	Types []EventType
	// GiveUpAfter is how long a failed delivery is repeated; 0: 24 h. After that the event
	// is dead: it blocks later events of its upload no longer, and stays in the store for
	// Handler.Undelivered until it is redelivered or dropped.
	GiveUpAfter time.Duration
	// AtOnce is how many events are delivered at the same time; 0: 32.
	AtOnce int
	// MaxBytes limits the memory for events that wait; 0: 16 MiB.
	MaxBytes int64
	// KeepHeaders names fields of requests that the side records keep, beside those that are
	// kept always: Host, User-Agent, Origin, Content-Type, X-Request-Id, X-Forwarded-For,
	// -Host, -Proto, -Port and -Prefix, and the fields of the protocols, but for
	// Upload-Concat. Never kept are Authorization, Proxy-Authorization and Cookie, nor the
	// query of the URI: an event that is delivered after a restart lacks them.
	KeepHeaders []string

	inMemory bool // the store has no side records
}

const (
	defaultGiveUpAfter   = 24 * time.Hour
	defaultAtOnce        = 32
	defaultDeliveryBytes = 16 << 20

	// maxUndelivered is how many uploads may have events in memory.
	maxUndelivered = 20_000

	// The delay between two deliveries of an event. It doubles.
	minDeliveryDelay = time.Second
	maxDeliveryDelay = 5 * time.Minute
)

// secretFields are fields of requests that no side record keeps.
var secretFields = []string{"Authorization", "Proxy-Authorization", "Cookie"}

// withDefaults validates d and returns it with zero values replaced by defaults.
func (d Delivery) withDefaults() (*Delivery, error) {
	if d.Receiver == nil {
		return nil, errors.New("tusd: Config.Delivery needs a Receiver")
	}
	if d.GiveUpAfter < 0 || d.AtOnce < 0 || d.MaxBytes < 0 {
		return nil, errors.New("tusd: Config.Delivery: a limit is negative")
	}
	d.GiveUpAfter = cmp.Or(d.GiveUpAfter, defaultGiveUpAfter)
	d.AtOnce = cmp.Or(d.AtOnce, defaultAtOnce)
	d.MaxBytes = cmp.Or(d.MaxBytes, int64(defaultDeliveryBytes))
	d.KeepHeaders = slices.Clone(d.KeepHeaders)
	for i, name := range d.KeepHeaders {
		d.KeepHeaders[i] = http.CanonicalHeaderKey(name)
		if slices.Contains(secretFields, d.KeepHeaders[i]) {
			return nil, fmt.Errorf("tusd: Config.Delivery: %s is never kept", name)
		}
	}
	return &d, nil
}

// wants reports whether the receiver wants events of this type. d may be nil.
func (d *Delivery) wants(t EventType) bool {
	return d != nil && (d.Types == nil || slices.Contains(d.Types, t))
}

// keeps reports whether the intents of events of this type are stored. d may be nil.
func (d *Delivery) keeps(t EventType) bool {
	return d.wants(t) && !d.BestEffort && !d.inMemory && t != EventPostReceive
}

// keptFields are the fields of requests that side records keep. They have full names, because
// X-Forwarded-Access-Token and the like are credentials. So may be the URLs in Upload-Concat.
var keptFields = []string{
	"Host", "User-Agent", "Origin", "Content-Type", "X-Request-Id",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
	"Tus-Resumable", "Upload-Checksum", "Upload-Complete", "Upload-Defer-Length", "Upload-Draft-Interop-Version",
	"Upload-Incomplete", "Upload-Length", "Upload-Metadata", "Upload-Offset",
}

// keptRequest returns what a side record keeps of a request: others can read files and objects,
// so it has no credentials. d may be nil.
func (d *Delivery) keptRequest(r HTTPRequest) HTTPRequest {
	if d == nil {
		return HTTPRequest{}
	}
	kept := r
	kept.URI, _, _ = strings.Cut(r.URI, "?")
	kept.Header = nil
	for name, values := range r.Header {
		if !slices.Contains(keptFields, name) && !slices.Contains(d.KeepHeaders, name) {
			continue
		}
		if kept.Header == nil {
			kept.Header = make(http.Header)
		}
		kept.Header[name] = values
	}
	return kept
}

// shorten removes what clients have chosen.
func (r *HTTPRequest) shorten() { r.Header, r.URI = nil, "" }

// sequence returns the place of a type of event in the life of an upload, 0 if it has none.
func sequence(t EventType) int {
	switch t {
	case EventPostCreate:
		return 1
	case EventPostFinish:
		return 2
	case EventPostTerminate, EventPostExpire:
		return 3
	}
	return 0
}
