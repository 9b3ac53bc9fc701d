package cli

import "testing"

// Memory goes back when there is little work, once for what there is.
func TestMemoryGoesBack(t *testing.T) {
	const mib = 1 << 20
	var m memoryRelease
	m.left = heapSample{resident: 20 * mib}
	for _, c := range []struct {
		what string
		heapSample
		want bool
	}{
		{"idle", heapSample{20 * mib, 0, 0}, false},
		{"much work", heapSample{150 * mib, 900 * mib, 0}, false},
		{"little work", heapSample{150 * mib, 901 * mib, 0}, true},
		{"as much is in use", heapSample{150 * mib, 902 * mib, 0}, false},
		{"those that used it have gone", heapSample{150 * mib, 903 * mib, 9}, true},
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
