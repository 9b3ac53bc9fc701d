package cli

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes of a download may wait in the system to be sent
// for the first time. Without a bound that is what the largest window takes,
// 4 MiB, and a writer is only woken when a third of it is gone: a client that
// reads slowly, but reads, looks like one that has stopped.
const maxUnsent = 256 << 10

// boundUnsent returns a listener whose connections are held to maxUnsent. They
// do not inherit that from sockets of multipath TCP, which package net opens.
func boundUnsent(l net.Listener) net.Listener { return unsentListener{l} }

type unsentListener struct{ net.Listener }

func (l unsentListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	tcp, ok := conn.(*net.TCPConn)
	if err != nil || !ok {
		return conn, err
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { // without it all works but for slow readers
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
		})
	}
	return conn, nil
}
