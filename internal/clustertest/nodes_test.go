//go:build linux

package clustertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// nodeCount is how many daemons there are.
const nodeCount = 3

// variant is how the daemons keep uploads and locks.
type variant struct {
	launch  faulttest.Launch
	service *lockservices.Server // nil: the locks are files
	ttl     time.Duration        // how long a lease lives without renewal
	// locks returns the flags of the locker for a lock service at an address.
	locks func(address string) []string
}

// cluster is the daemons and HAProxy in front of them. Its methods are for the goroutine
// of the test.
type cluster struct {
	*testing.T
	nodes   [nodeCount]*node
	service *lockservices.Server // nil: the locks are files
	address string               // of HAProxy

	endpoint *eventcheck.Endpoint // of the hooks of all nodes
}

// node is one daemon, which may be started many times, always on the same address.
type node struct {
	name    string
	launch  faulttest.Launch
	address string
	link    *lockservices.Link // to the lock service
	daemon  *faulttest.Daemon
	output  strings.Builder // of the daemons before

	cuts         int // how often it was cut off from the lock service
	otherOutages int // how often else it may have missed the lock service
}

// startCluster runs a cluster until the test ends.
func startCluster(t *testing.T, v variant, seed uint64) *cluster {
	t.Helper()
	c := &cluster{T: t, service: v.service, address: loopback.Address(), endpoint: eventcheck.New(seed)}
	v.launch.Flags = append(v.launch.Flags, hookFlags(t, c.endpoint)...)
	for i := range c.nodes {
		c.nodes[i] = newNode(t, fmt.Sprint("node", i+1), v)
		c.nodes[i].start(t)
	}
	c.startHAProxy()
	c.awaitAnswers()
	return c
}

func newNode(t *testing.T, name string, v variant) *node {
	n := &node{name: name, launch: v.launch, address: loopback.Address()}
	host, port, _ := net.SplitHostPort(n.address)
	n.launch.Flags = append([]string{"-host", host, "-port", port, "-verbose=false"}, v.launch.Flags...)
	if v.service != nil {
		n.link = lockservices.NewLink(t, v.service.Addr())
		n.launch.Flags = append(n.launch.Flags, v.locks(n.link.Addr())...)
	}
	return n
}

// start starts the daemon and returns when it serves.
func (n *node) start(t *testing.T) {
	t.Helper()
	if n.daemon != nil {
		n.output.WriteString(n.daemon.Output())
	}
	n.daemon = faulttest.Start(t, n.launch)
}

// log returns the output of all daemons of the node.
func (n *node) log() string { return n.output.String() + n.daemon.Output() }

// signal sends a signal to the daemon.
func (n *node) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(n.daemon.PID(), s); err != nil {
		t.Fatal(err)
	}
}

// nodeField is the field of answers in which HAProxy names the node.
const nodeField = "X-Node"

// haproxySettings are for addresses of HAProxy and of three nodes. Requests are sent to
// another node only if the connection was refused. A node that does not answer the health
// check loses its connections: it may be stopped, and its clients would wait. A check takes
// up to two seconds while the lock service does not answer: if HAProxy waited for less, it
// would find all nodes down. HEAD is never answered with 5xx, because clients then begin
// again.
const haproxySettings = `
defaults
    mode http
    timeout connect      2s
    timeout http-request 30s
    timeout client       75s
    timeout server       75s
    timeout check        3s

frontend uploads
    bind %s
    http-request set-header X-Forwarded-Host  %%[req.hdr(Host)]
    http-request set-header X-Forwarded-Proto http
    option forwardfor
    acl is_head    method HEAD
    acl speaks_tus req.hdr(Tus-Resumable) -m found
    http-request set-var(txn.locked) bool(true) if is_head speaks_tus
    default_backend tusd

backend tusd
    balance roundrobin
    option httpchk GET /readyz
    retries 3
    option redispatch 1
    default-server check inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
    server node1 %s
    server node2 %s
    server node3 %s
    http-response set-header X-Node %%s
    http-after-response set-header Retry-After 1 if { status 502:504 }
    http-after-response set-status 423 if { status 502:504 } { var(txn.locked) -m bool }
`

// needHAProxy ends the test if HAProxy is missing.
func needHAProxy(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("haproxy")
	require.Need(t, "haproxy", err == nil, "haproxy is not on the PATH")
}

// startHAProxy runs HAProxy until the test ends.
func (c *cluster) startHAProxy() {
	c.Helper()
	settings := filepath.Join(c.TempDir(), "settings")
	text := fmt.Sprintf(haproxySettings, c.address, c.nodes[0].address, c.nodes[1].address, c.nodes[2].address)
	if err := os.WriteFile(settings, []byte(text), 0o666); err != nil {
		c.Fatal(err)
	}
	loopback.Run(c.T, exec.Command("haproxy", "-db", "-f", settings)).AwaitListening(c.T, c.address)
}

// startLimit bounds the time until HAProxy answers. It is long, for loaded machines.
const startLimit = 30 * time.Second

// awaitAnswers returns when HAProxy has found the nodes.
func (c *cluster) awaitAnswers() {
	c.Helper()
	for deadline := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		a, err := tusclient.New(c.address).Do("OPTIONS", tusclient.Uploads, nil)
		if err == nil && a.Status < 300 {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("HAProxy does not answer: %v, %v", a, err)
		}
	}
}
