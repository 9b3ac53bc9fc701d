package cli

import "testing"

// Memory goes back when there is little work, once for what there is.
func TestMemoryGoesBack(t *testing.T) {
	const mib = 1 << 20
	var m memoryReturn
	m.left = heapLook{resident: 20 * mib}
	for _, c := range []struct {
		what string
		heapLook
		want bool
	}{
		{"idle", heapLook{20 * mib, 0, 0}, false},
		{"much work", heapLook{150 * mib, 900 * mib, 0}, false},
		{"little work", heapLook{150 * mib, 901 * mib, 0}, true},
		{"as much is in use", heapLook{150 * mib, 902 * mib, 0}, false},
		{"those that used it have gone", heapLook{150 * mib, 903 * mib, 9}, true},
		{"a connection of an idle server", heapLook{21 * mib, 904 * mib, 10}, false},
	} {
		if got := m.due(c.heapLook); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if c.want {
			m.left = c.heapLook
		}
	}
}
