package tusd

import "testing"

// A lost lock may be held by another request while the body of the first one ends.
func TestTwoReceptionsOfAnUpload(t *testing.T) {
	var l receptions
	a, b, other := &reception{id: "a"}, &reception{id: "a"}, &reception{id: "b"}
	want := func(n int) {
		t.Helper()
		if got := len(l.of("a")); got != n || l.receiving("a") != (n > 0) {
			t.Errorf("%d bodies of the upload, receiving: %v; want %d", got, l.receiving("a"), n)
		}
	}
	want(0)
	for _, first := range []*reception{a, b} {
		for _, r := range []*reception{a, b, other} {
			l.add(r)
		}
		want(2)
		l.remove(first)
		want(1)
		if l.of("a")[0] == first {
			t.Error("the other body was removed")
		}
		l.remove(l.of("a")[0])
		want(0)
		l.remove(other)
	}
	if len(l.byID) > 0 {
		t.Errorf("left: %v", l.byID)
	}
}
