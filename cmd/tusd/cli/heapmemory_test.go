package cli

import "testing"

// Memory is released when the load has fallen, once for the same heap.
func TestMemoryReleaseDue(t *testing.T) {
	const mib = 1 << 20
	var m memoryRelease
	m.left = heapSample{resident: 20 * mib}
	for _, c := range []struct {
		what string
		heapSample
		want bool
	}{
		{"idle", heapSample{20 * mib, 0, 0}, false},
		{"high load", heapSample{150 * mib, 900 * mib, 0}, false},
		{"low load", heapSample{150 * mib, 901 * mib, 0}, true},
		{"as much in use", heapSample{150 * mib, 902 * mib, 0}, false},
		{"its connections are closed", heapSample{150 * mib, 903 * mib, 9}, true},
		{"a connection of an idle server", heapSample{21 * mib, 904 * mib, 10}, false},
	} {
		if got := m.due(c.heapSample); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if c.want {
			m.left = c.heapSample
		}
	}
}
