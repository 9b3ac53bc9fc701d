package storetest

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/tus/tusd"
)

// ErrInjected is the error of every fault. It is transient, like an error of a
// disk or a network.
var ErrInjected = errors.New("storetest: injected fault")

// FaultForm is the way in which the chosen operation fails.
type FaultForm int

// The forms. Each occurs in real storage.
const (
	// Refused fails before the work: nothing has happened.
	Refused FaultForm = iota
	// Lost does the work and loses the answer: the caller gets an error although
	// the operation has succeeded. ServeContent is refused, because it must not
	// fail after it wrote.
	Lost
	// CutSource cuts the source of a write short. Only operations that have
	// a source count.
	CutSource
	// Blocked waits before the work. It does the work when Release is called,
	// and refuses it when the operation's context ends.
	Blocked
)

func (f FaultForm) String() string {
	switch f {
	case Refused:
		return "refused"
	case Lost:
		return "answer lost"
	case CutSource:
		return "source cut"
	case Blocked:
		return "blocked"
	}
	return "unknown form"
}

// Faults makes one operation of a store fail: a call of any method of the
// store, its uploads or its abilities. Fields are set before Wrap. Safe for
// concurrent use.
type Faults struct {
	FailAt   int64     // the operation that fails, counted from 1; 0: none, only count
	Form     FaultForm // what happens to it
	CutAfter int64     // CutSource: bytes of the source that still arrive

	mu      sync.Mutex
	count   int64
	fired   bool
	once    sync.Once
	blocked chan struct{} // closed when an operation blocks
	release chan struct{} // closed by Release
}

// Fired reports whether the fault has happened.
func (f *Faults) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Operations counts the operations so far.
func (f *Faults) Operations() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Blocked returns a channel that is closed when an operation is blocked.
func (f *Faults) Blocked() <-chan struct{} {
	f.init()
	return f.blocked
}

// Release lets the blocked operation continue, also if it blocks later. It may be
// called once.
func (f *Faults) Release() {
	f.init()
	close(f.release)
}

func (f *Faults) init() {
	f.once.Do(func() {
		f.blocked, f.release = make(chan struct{}), make(chan struct{})
	})
}

// operation runs work as the next operation, and injects the fault if it is due.
func (f *Faults) operation(ctx context.Context, work func() error) error {
	if f.Form == CutSource || !f.isDue() {
		return work()
	}
	switch f.Form {
	case Lost:
		return errors.Join(ErrInjected, work())
	case Blocked:
		if err := f.block(ctx); err != nil {
			return err
		}
		return work()
	}
	return ErrInjected
}

// answer is operation for calls that return a value, which is lost with the
// answer.
func answer[T any](ctx context.Context, f *Faults, call func() (T, error)) (T, error) {
	var value, none T
	err := f.operation(ctx, func() (err error) {
		value, err = call()
		return err
	})
	if err != nil {
		return none, err
	}
	return value, nil
}

// write is operation for calls that read a source. n is the number of stored bytes that
// the caller gets; it is 0 if the answer is lost.
func (f *Faults) write(ctx context.Context, src io.Reader, work func(io.Reader) (int64, error)) (n int64, err error) {
	if f.Form == CutSource {
		if f.isDue() {
			src = failAfter(src, f.CutAfter, ErrInjected)
		}
		return work(src)
	}
	err = f.operation(ctx, func() error {
		n, err = work(src)
		return err
	})
	if errors.Is(err, ErrInjected) {
		n = 0
	}
	return n, err
}

// isDue counts an operation and reports whether the fault is due.
func (f *Faults) isDue() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.count != f.FailAt {
		return false
	}
	f.fired = true
	return true
}

func (f *Faults) block(ctx context.Context) error {
	f.init()
	close(f.blocked)
	select {
	case <-f.release:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failAfter returns a source that fails with err after n bytes of src.
func failAfter(src io.Reader, n int64, err error) io.Reader {
	return io.MultiReader(io.LimitReader(src, n), brokenReader{err})
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// Wrap returns a composer with the same abilities as composer, each with
// faults. The locker is composer's.
func (f *Faults) Wrap(composer *tusd.StoreComposer) *tusd.StoreComposer {
	w := tusd.NewStoreComposer()
	w.Core = faultyStore{f, composer.Core}
	w.Locker = composer.Locker
	if composer.Terminater != nil {
		w.Terminater = faultyTerminater{f, composer.Terminater}
	}
	if composer.Concater != nil {
		w.Concater = faultyConcater{f, composer.Concater}
	}
	if composer.LengthDeferrer != nil {
		w.LengthDeferrer = faultyLengthDeferrer{f, composer.LengthDeferrer}
	}
	if composer.ContentServer != nil {
		w.ContentServer = faultyContentServer{f, composer.ContentServer}
	}
	if composer.Lister != nil {
		w.Lister = faultyLister{f, composer.Lister}
	}
	if composer.SideRecords != nil {
		w.SideRecords = faultySideRecords{f, composer.SideRecords}
	}
	if composer.AtomicWriter != nil {
		w.AtomicWriter = faultyAtomicWriter{f, composer.AtomicWriter}
	}
	if composer.Rewinder != nil {
		w.Rewinder = faultyRewinder{f, composer.Rewinder}
	}
	if composer.Tidier != nil {
		w.Tidier = faultyTidier{f, composer.Tidier}
	}
	if composer.Verifier != nil {
		w.Verifier = faultyVerifier{f, composer.Verifier}
	}
	return w
}
