package cli

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes of a download may wait in the kernel to be sent
// for the first time. The default is the largest window, 4 MiB, and the kernel
// wakes a writer only when a third of that is sent: a client that reads slowly
// would look like one that has stopped.
const maxUnsent = 256 << 10

// boundUnsent returns a listener that sets maxUnsent for its connections. They
// do not inherit it from sockets of multipath TCP, which package net opens.
func boundUnsent(l net.Listener) net.Listener { return unsentListener{l} }

type unsentListener struct{ net.Listener }

func (l unsentListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	tcp, ok := conn.(*net.TCPConn)
	if err != nil || !ok {
		return conn, err
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { // an error only affects slow readers
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
		})
	}
	return conn, nil
}
