// Package workqueue runs work that belongs to keys: each key at most once at the same
// time, and a limited number of keys at the same time.
package workqueue

import (
	"container/heap"
	"sync"
	"time"
)

// Queue is a queue of keys, each with a task. Set the exported fields before use. Safe
// for concurrent use.
type Queue[T any] struct {
	// Workers is how many tasks run at the same time.
	Workers int
	// Capacity is how many keys the queue can have, with those that run.
	Capacity int
	// Run works on a key. If again is true, the key runs again after wait. woken reports
	// that Add was called for the key since its last run began, or since it was added.
	Run func(key string, task T, woken bool) (wait time.Duration, again bool)
	// Start runs a function in a goroutine. It returns false if no new work may begin.
	Start func(func()) bool

	mu      sync.Mutex
	entries map[string]*entry[T]
	waiting byDue[T]
	workers int
	timer   *time.Timer // of the entry that is due first; nil: none
	closed  bool
}

// entry is a key in the queue.
type entry[T any] struct {
	key   string
	task  T
	due   time.Time
	woken bool
}

// Add adds a key with a task, to run after wait, and returns the task. If the key is in
// the queue, Add wakes it and returns the task that it has: a key that runs now runs
// again, even if Run returns that it need not; the time of a waiting key does not change.
// ok is false if the queue is full or closed.
func (q *Queue[T]) Add(key string, task T, wait time.Duration) (current T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.entries[key]; e != nil {
		e.woken = true
		return e.task, true
	}
	if q.closed || len(q.entries) >= q.Capacity {
		return current, false
	}
	if q.entries == nil {
		q.entries = make(map[string]*entry[T])
	}
	e := &entry[T]{key: key, task: task}
	q.entries[key] = e
	q.wait(e, wait)
	return task, true
}

// Len returns the number of keys in the queue.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}

// Close drops all waiting keys and returns their tasks. Keys that run do not run again.
func (q *Queue[T]) Close() (dropped []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, e := range q.waiting {
		dropped = append(dropped, e.task)
		delete(q.entries, e.key)
	}
	q.waiting = nil
	q.schedule()
	return dropped
}

// wait lets an entry wait. The caller holds mu.
func (q *Queue[T]) wait(e *entry[T], wait time.Duration) {
	e.due = time.Now().Add(wait)
	heap.Push(&q.waiting, e)
	q.schedule()
}

// schedule starts workers for the entries that are due, and sets the timer for the next
// one. The caller holds mu.
func (q *Queue[T]) schedule() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if len(q.waiting) == 0 || q.workers >= q.Workers {
		return // a worker schedules again when it ends
	}
	if wait := time.Until(q.waiting[0].due); wait > 0 {
		q.timer = time.AfterFunc(wait, q.scheduleLater)
		return
	}
	q.workers++
	if !q.Start(q.work) {
		q.workers--
	}
}

func (q *Queue[T]) scheduleLater() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.schedule()
}

// work runs entries until none is due.
func (q *Queue[T]) work() {
	e, woken := q.next(nil, 0, false)
	defer func() {
		if e != nil { // Run has panicked
			q.drop(e)
		}
	}()
	for e != nil {
		wait, again := q.Run(e.key, e.task, woken)
		e, woken = q.next(e, wait, again)
	}
}

// next ends the run of an entry, if there is one, and returns the next entry that is due.
// Without one, it ends the worker.
func (q *Queue[T]) next(done *entry[T], wait time.Duration, again bool) (next *entry[T], woken bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if done != nil {
		q.end(done, wait, again)
	}
	if len(q.waiting) == 0 || time.Until(q.waiting[0].due) > 0 {
		q.workers--
		q.schedule()
		return nil, false
	}
	next = heap.Pop(&q.waiting).(*entry[T])
	woken, next.woken = next.woken, false
	q.schedule() // another worker, for the entries behind it
	return next, woken
}

// drop ends a worker together with its entry.
func (q *Queue[T]) drop(e *entry[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.entries, e.key)
	q.workers--
	q.schedule()
}

// end removes an entry that has run, or lets it wait for its next run. The caller holds
// mu.
func (q *Queue[T]) end(e *entry[T], wait time.Duration, again bool) {
	switch {
	case q.closed:
	case again:
		q.wait(e, wait)
		return
	case e.woken:
		q.wait(e, 0)
		return
	}
	delete(q.entries, e.key)
}

// byDue is a heap of entries, the one that is due first at the front.
type byDue[T any] []*entry[T]

func (h byDue[T]) Len() int           { return len(h) }
func (h byDue[T]) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byDue[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *byDue[T]) Push(e any) { *h = append(*h, e.(*entry[T])) }

// Pop implements heap.Interface.
func (h *byDue[T]) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
