package filestore

import "testing"

func TestParseDurability(t *testing.T) {
	for _, level := range levels {
		if got, err := ParseDurability(level.String()); got != level || err != nil {
			t.Errorf("ParseDurability(%s) = %v, %v", level, got, err)
		}
	}
	for _, wrong := range []string{"", "ACK", "sync", "unknown durability"} {
		if _, err := ParseDurability(wrong); err == nil {
			t.Errorf("ParseDurability(%q) succeeds", wrong)
		}
	}
}
