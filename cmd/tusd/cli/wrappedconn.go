package cli

import "net"

// The daemon wraps connections several times: to count them, to bound what they
// keep in memory, to close them if they stall. Each wrapper has a method NetConn
// for the connection below it, as tls.Conn has.

// connOf returns the wrapper of type T that conn is or has below it.
func connOf[T net.Conn](conn net.Conn) (found T, ok bool) {
	for {
		if found, ok = conn.(T); ok {
			return found, true
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return found, false
		}
		conn = wrapper.NetConn()
	}
}
