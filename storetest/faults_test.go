package storetest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// TestFaultsWrapEveryAbility makes each method of each ability fail. It fails for a new
// ability of the contract that Faults does not wrap.
func TestFaultsWrapEveryAbility(t *testing.T) {
	abilities := readContract(t).Interfaces("datastore.go")
	abilities = slices.DeleteFunc(abilities, func(name string) bool { return name == "DataStore" || name == "Upload" })
	composer := reflect.TypeFor[tusd.StoreComposer]()
	for _, name := range abilities {
		if _, ok := composer.FieldByName(name); !ok {
			t.Errorf("tusd.StoreComposer has no field for the ability %s", name)
		}
	}
	for i := range composer.NumField() {
		field := composer.Field(i)
		if field.Name == "Locker" {
			continue
		}
		for method := range field.Type.NumMethod() {
			if field.Type.Method(method).Type.Out(0) == reflect.TypeFor[bool]() {
				continue // the method has no error
			}
			faults := &Faults{FailAt: 1}
			wrapped := reflect.ValueOf(faults.Wrap(newComposer(NewMemory()))).Elem().Field(i)
			wantMethodFails(t, field.Name, faults, wrapped, method)
		}
	}
}

// wantMethodFails calls a method with zero values, which a refused operation does not use.
func wantMethodFails(t *testing.T, name string, faults *Faults, wrapped reflect.Value, method int) {
	t.Helper()
	if wrapped.IsNil() {
		t.Errorf("%s is not wrapped", name)
		return
	}
	name += "." + wrapped.Type().Method(method).Name
	call := wrapped.Method(method)
	arguments := make([]reflect.Value, call.Type().NumIn())
	for i := range arguments {
		arguments[i] = reflect.Zero(call.Type().In(i))
	}
	results := call.Call(arguments)
	err, _ := results[len(results)-1].Interface().(error)
	if !errors.Is(err, ErrInjected) || !faults.Fired() {
		t.Errorf("%s: error is %v, want the fault", name, err)
	}
}

func TestFaultsWrapEveryMethodOfUploads(t *testing.T) {
	upload := reflect.TypeFor[tusd.Upload]()
	for method := range upload.NumMethod() {
		faults := &Faults{FailAt: 1}
		var wrapped tusd.Upload = &faultyUpload{faults, nil}
		wantMethodFails(t, "Upload", faults, reflect.ValueOf(&wrapped).Elem(), method)
	}
}

func TestFaultsAddNoAbilities(t *testing.T) {
	c := tusd.NewStoreComposer()
	c.Core = NewMemory()
	if got := claimsOf(new(Faults).Wrap(c)); got != 0 {
		t.Errorf("a store without abilities has %07b memory faults", got)
	}
}

// newFaultyUpload creates an upload of 100 bytes in a store with faults.
func newFaultyUpload(t *testing.T, faults *Faults) (c *tusd.StoreComposer, upload tusd.Upload, memory *Memory) {
	t.Helper()
	memory = NewMemory()
	c = faults.Wrap(newComposer(memory))
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "a", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	upload, err = c.Core.NewUpload(t.Context(), lease, newInfo("a", 100))
	if err != nil {
		t.Fatal(err)
	}
	return c, upload, memory
}

func TestFaultForms(t *testing.T) {
	for _, c := range []struct {
		form   FaultForm
		cut    int64
		n      int64 // as the caller gets it
		stored int64
	}{
		{Refused, 0, 0, 0},
		{Lost, 0, 0, 100},
		{CutSource, 30, 30, 30},
	} {
		t.Run(strings.ReplaceAll(c.form.String(), " ", "-"), func(t *testing.T) {
			faults := &Faults{FailAt: 2, Form: c.form, CutAfter: c.cut}
			if c.form == CutSource {
				faults.FailAt = 1 // creations have no source and do not count
			}
			_, upload, memory := newFaultyUpload(t, faults)
			n, err := upload.WriteChunk(t.Context(), 0, ContentReader("a", 0, 100))
			if n != c.n || !errors.Is(err, ErrInjected) || !faults.Fired() {
				t.Errorf("n is %d, error %v, fired %t", n, err, faults.Fired())
			}
			if stored := memory.uploads["a"].data.size(); stored != c.stored {
				t.Errorf("%d bytes are stored, want %d", stored, c.stored)
			}
		})
	}
}

func TestFaultBlocked(t *testing.T) {
	faults := &Faults{FailAt: 2, Form: Blocked}
	_, upload, _ := newFaultyUpload(t, faults)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := upload.WriteChunk(ctx, 0, ContentReader("a", 0, 100))
		done <- err
	}()
	<-faults.Blocked()
	select {
	case err := <-done:
		t.Fatalf("the blocked operation has returned: %v", err)
	default:
	}
	faults.Release()
	if err := <-done; err != nil {
		t.Errorf("after the release: %v", err)
	}
}

func TestFaultBlockedUntilCtxEnds(t *testing.T) {
	faults := &Faults{FailAt: 2, Form: Blocked}
	_, upload, memory := newFaultyUpload(t, faults)
	why := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-faults.Blocked()
		cancel(why)
	}()
	if _, err := upload.WriteChunk(ctx, 0, ContentReader("a", 0, 100)); !errors.Is(err, why) {
		t.Errorf("error is %v, want %v", err, why)
	}
	if stored := memory.uploads["a"].data.size(); stored != 0 {
		t.Errorf("%d bytes are stored", stored)
	}
}

// TestFaultOfServeContent checks that Lost refuses ServeContent: a written answer cannot be lost.
func TestFaultOfServeContent(t *testing.T) {
	c, upload, _ := newFaultyUpload(t, &Faults{FailAt: 2, Form: Lost})
	if err := c.ContentServer.ServeContent(t.Context(), upload, nil, nil); !errors.Is(err, ErrInjected) {
		t.Errorf("error is %v", err)
	}
}

func TestLostReaderIsClosed(t *testing.T) {
	closed := false
	u := &faultyUpload{&Faults{FailAt: 1, Form: Lost}, &brokenUpload{getReader: func(context.Context) (io.ReadCloser, error) {
		return closeFunc{strings.NewReader(""), func() { closed = true }}, nil
	}}}
	if r, err := u.GetReader(t.Context()); r != nil || !errors.Is(err, ErrInjected) || !closed {
		t.Errorf("reader %v, error %v, closed %t", r, err, closed)
	}
}

type closeFunc struct {
	io.Reader
	close func()
}

func (c closeFunc) Close() error {
	c.close()
	return nil
}
