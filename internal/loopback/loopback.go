// Package loopback has addresses for programs that tests run and that cannot listen on any
// free port and report it.
package loopback

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// firstPort begins a range below the ports that the system assigns by itself.
const firstPort = 10000

var given atomic.Int64

// Host returns the address of the loopback network that only this process uses. It is
// derived from the process id. Linux has the whole network; other systems have 127.0.0.1
// only.
func Host() string {
	pid := os.Getpid() // at most 22 bits
	return net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid)).String()
}

// Address returns an address (host:port) that nothing listens on, a new one with each call.
func Address() string {
	return net.JoinHostPort(Host(), strconv.FormatInt(firstPort+given.Add(1), 10))
}
