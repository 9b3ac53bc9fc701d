package consullocker

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// lastTTL is how long the key of a last grant stays at least. Consul ends a session at
	// most twice as late.
	lastTTL = 10 * time.Minute
	// A session gets keys for lastAge, and lastKeys at most: Consul removes all at once.
	lastAge  = time.Minute
	lastKeys = 1000
)

// lastGrants makes sessions that are never renewed. The keys of last grants belong to them,
// so that they vanish by themselves.
type lastGrants struct {
	client *api.Client
	making mutex // held while a session is made

	mu   sync.Mutex
	id   string // of the session; "": none
	made time.Time
	keys int
}

// session returns the session for one more key.
func (g *lastGrants) session(ctx context.Context) (string, error) {
	if id := g.use(); id != "" {
		return id, nil
	}
	if err := g.making.lock(ctx); err != nil {
		return "", err
	}
	defer g.making.unlock()
	if id := g.use(); id != "" {
		return id, nil
	}
	made := time.Now()
	// Without checks of health: the end of the agent does not end it.
	id, _, err := g.client.Session().CreateNoChecks(&api.SessionEntry{
		Name: "last grants of tusd", TTL: lastTTL.String(), Behavior: api.SessionBehaviorDelete,
		LockDelay: time.Millisecond, // 0 would be 15 s
	}, write(ctx))
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.id, g.made, g.keys = id, made, 1
	return id, nil
}

// use counts one more key of the session; "": another one is needed.
func (g *lastGrants) use() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.made) >= lastAge || g.keys >= lastKeys {
		g.id = ""
	}
	g.keys++
	return g.id
}

// drop forgets a session that does not exist any more.
func (g *lastGrants) drop(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id == id {
		g.id = ""
	}
}
