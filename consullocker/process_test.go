package consullocker

import (
	"maps"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// A process is dead when the index of its key was seen unchanged for a time to live, by
// the time at which the request was sent that showed it last.
func TestSilentProcesses(t *testing.T) {
	const ttl = 10 * time.Second
	s, own := &service{ttl: ttl}, &process{name: "own"}
	start := time.Now()
	look := func(after time.Duration, index uint64) (dead map[string]uint64) {
		at := start.Add(after)
		dead, _ = s.comparePeers(map[string]peer{"own": {1, at}, "other": {index, at}}, own, at)
		return dead
	}
	for _, c := range []struct {
		after time.Duration
		index uint64
		dead  map[string]uint64
	}{
		{0, 5, nil},
		{ttl - 1, 5, nil},
		{ttl, 5, map[string]uint64{"other": 5}},
		{ttl + 1, 6, nil}, // it has shown that it lives
		{2*ttl + 1 - 1, 6, nil},
		{2*ttl + 1, 6, map[string]uint64{"other": 6}},
	} {
		if dead := look(c.after, c.index); !maps.Equal(dead, c.dead) {
			t.Errorf("after %v with index %d: dead are %v, want %v", c.after, c.index, dead, c.dead)
		}
	}
}

// The times that docs/scaling.md names: four heartbeats can fail before the leases are lost.
func TestDefaultTimes(t *testing.T) {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	l := New(client, Options{}).leases
	if l.TTL != 15*time.Second || l.RenewInterval != 2500*time.Millisecond || l.Margin != 3*time.Second {
		t.Errorf("time to live %v, renewals every %v, margin %v", l.TTL, l.RenewInterval, l.Margin)
	}
	if valid := l.TTL - l.Margin; 4*l.RenewInterval >= valid {
		t.Errorf("four failed heartbeats take %v, and a lease is valid for %v", 4*l.RenewInterval, valid)
	}
}
