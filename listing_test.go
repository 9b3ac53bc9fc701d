package tusd

import (
	"testing"
	"time"
)

func TestClass(t *testing.T) {
	for want, infos := range map[UploadClass][]FileInfo{
		ClassNeverStarted: {{Size: 5}, {SizeIsDeferred: true}, {Size: 5, State: StateUploading}},
		ClassUnfinished:   {{Size: 5, Offset: 4}, {SizeIsDeferred: true, Offset: 4}, {Size: 5, Offset: 4, State: StateUploading}},
		ClassPartial:      {{Size: 5, IsPartial: true}, {Size: 5, Offset: 4, IsPartial: true}, {Size: 5, Offset: 5, IsPartial: true}},
		ClassComplete:     {{Size: 5, Offset: 5}, {}, {Size: 5, Offset: 5, State: StateComplete}, {Size: 5, Offset: 5, IsFinal: true, State: StateComplete}},
		ClassFailed:       {{Size: 5, Offset: 4, State: StateFailed}, {Size: 5, Offset: 5, State: StateFailed}, {Size: 5, IsPartial: true, State: StateFailed}},
		ClassWaiting: {
			{Size: 5, Offset: 5, State: StateUploading}, {Size: 5, Offset: 5, State: StateFinishing},
			{Size: 5, Offset: 5, State: StateUploading, IsPartial: true}, {Size: 5, IsFinal: true, State: StateUploading},
		},
	} {
		for _, info := range infos {
			if got := info.Class(); got != want {
				t.Errorf("%+v is of class %s, want %s", info, got, want)
			}
		}
	}
}

func TestListFilter(t *testing.T) {
	now := time.Now()
	filter := ListFilter{Before: map[UploadClass]time.Time{ClassPartial: now, ClassFailed: now.Add(-time.Hour)}}
	for _, c := range []struct {
		age      time.Duration
		possible []UploadClass
		want     bool
	}{
		{time.Minute, []UploadClass{ClassPartial}, true},
		{0, []UploadClass{ClassPartial}, false},
		{time.Minute, []UploadClass{ClassFailed}, false},
		{time.Minute, []UploadClass{ClassFailed, ClassPartial}, true},
		{2 * time.Hour, []UploadClass{ClassFailed}, true},
		{2 * time.Hour, []UploadClass{ClassComplete}, false},
	} {
		if got := filter.Includes(now.Add(-c.age), c.possible...); got != c.want {
			t.Errorf("age %v, classes %v: %t", c.age, c.possible, got)
		}
		if !(ListFilter{}).Includes(now.Add(-c.age), c.possible...) {
			t.Errorf("the empty filter leaves out age %v, classes %v", c.age, c.possible)
		}
	}
}

// The id of an event depends on what it tells, and on nothing else.
func TestEventIdentity(t *testing.T) {
	info := FileInfo{ID: "a", Created: time.Unix(1, 2), Offset: 5}
	id := func(kind EventType, change func(*FileInfo)) string {
		changed := info
		change(&changed)
		event := Event{Type: kind, Upload: changed}
		return event.identity()
	}
	same := func(*FileInfo) {}
	created := id(EventPostCreate, same)
	if again := id(EventPostCreate, func(i *FileInfo) { i.Offset, i.Created, i.Owner = 6, i.Created.In(time.FixedZone("x", 3600)), "b" }); again != created {
		t.Errorf("the same event has the ids %s and %s", created, again)
	}
	for what, other := range map[string]string{
		"type":     id(EventPostFinish, same),
		"upload":   id(EventPostCreate, func(i *FileInfo) { i.ID = "b" }),
		"creation": id(EventPostCreate, func(i *FileInfo) { i.Created = time.Unix(1, 3) }),
	} {
		if other == created {
			t.Errorf("events that differ in %s have one id", what)
		}
	}
	if id(EventPostReceive, same) == id(EventPostReceive, func(i *FileInfo) { i.Offset = 6 }) {
		t.Error("two post-receive events at other offsets have one id")
	}
}
