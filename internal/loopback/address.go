// Package loopback runs servers of others for tests, on addresses of the loopback network.
//
//	address.go  addresses for programs that cannot listen on any free port and report it
//	program.go  a program that ends with its test
//
// Only Linux has the whole network: tests elsewhere must not use the addresses.
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
// derived from the process id.
func Host() string {
	pid := os.Getpid() // at most 22 bits
	return net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid)).String()
}

// Address returns an address (host:port) that nothing listens on, a new one with each call.
func Address() string {
	return net.JoinHostPort(Host(), strconv.FormatInt(firstPort+given.Add(1), 10))
}
