//go:build linux

package clustertest

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is one fault of the plan.
type fault struct {
	kind   string // a key of faultKinds
	node   int    // the node that it concerns, or the first of all
	length time.Duration
}

func (f fault) String() string { return fmt.Sprintf("%s node%d %v", f.kind, f.node+1, f.length) }

// faultKind is a kind of fault.
type faultKind struct {
	name     string
	shortest time.Duration
	longest  time.Duration
	outlives bool // the time that a lease lives is added, so that the leases end
	service  bool // needs a lock service
	inject   func(c *cluster, f fault)
}

var faultKinds = []faultKind{
	{"kill", time.Second, 5 * time.Second, false, false, (*cluster).kill},
	{"stop", 2 * time.Second, 6 * time.Second, true, false, (*cluster).stop},
	{"roll", 2 * time.Second, 3 * time.Second, false, false, (*cluster).roll},
	{"cut", 2 * time.Second, 6 * time.Second, true, true, (*cluster).cut},
	{"restart-service", 0, 5 * time.Second, false, true, (*cluster).restartService},
}

// newRound plans each kind of fault once, in random order. A lease lives for ttl without
// renewal.
func newRound(r *rand.Rand, service bool, ttl time.Duration) (plan []fault) {
	for _, i := range r.Perm(len(faultKinds)) {
		k := faultKinds[i]
		length := k.shortest + time.Duration(r.Int64N(int64(k.longest-k.shortest)))
		if k.outlives {
			length += ttl
		}
		f := fault{kind: k.name, node: r.IntN(nodeCount), length: length.Round(time.Millisecond)}
		if service || !k.service {
			plan = append(plan, f)
		}
	}
	return plan
}

// inject makes a fault and ends it.
func (c *cluster) inject(f fault) {
	c.Helper()
	for _, k := range faultKinds {
		if k.name == f.kind {
			began := time.Now()
			k.inject(c, f)
			c.Logf("%s fault %v, took %v", began.Format("15:04:05.000"), f, time.Since(began).Round(time.Millisecond))
		}
	}
}

// kill kills a node as kill -9 does, and starts it again later.
func (c *cluster) kill(f fault) {
	n := c.nodes[f.node]
	n.daemon.Kill()
	time.Sleep(f.length)
	n.start(c.T)
}

// stop stops a node with SIGSTOP for longer than a lease lives.
func (c *cluster) stop(f fault) {
	n := c.nodes[f.node]
	n.signal(c.T, syscall.SIGSTOP)
	time.Sleep(f.length)
	n.signal(c.T, syscall.SIGCONT)
	n.otherOutages++
}

// roll restarts all nodes, one after another. It waits after each one, so that HAProxy
// finds it before the next one ends.
func (c *cluster) roll(f fault) {
	for i := range nodeCount {
		n := c.nodes[(f.node+i)%nodeCount]
		if err := n.daemon.Stop(); err != nil {
			c.Errorf("%s: %v", n.name, err)
			n.daemon.Kill()
		}
		n.start(c.T)
		time.Sleep(time.Second + f.length) // HAProxy checks every second
	}
}

// cut cuts a node off from the lock service.
func (c *cluster) cut(f fault) {
	n := c.nodes[f.node]
	n.link.Cut()
	time.Sleep(f.length)
	n.link.Restore()
	n.cuts++
}

// restartService kills the lock service and starts it again.
func (c *cluster) restartService(f fault) {
	c.service.Stop()
	time.Sleep(f.length)
	c.service.Start()
	for _, n := range c.nodes {
		n.otherOutages++
	}
}
