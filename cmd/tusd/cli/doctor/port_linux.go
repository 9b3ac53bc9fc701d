package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errTried ends an attempt to listen after the port was bound.
var errTried = errors.New("tried")

// TryPort binds an address without listening on it. A server that starts at the
// same time can still do so.
func TryPort(address string) error {
	config := net.ListenConfig{Control: func(_, address string, conn syscall.RawConn) error {
		var err error
		if failed := conn.Control(func(fd uintptr) { err = bind(int(fd), address) }); failed != nil {
			return failed
		}
		if err != nil {
			return os.NewSyscallError("bind", err)
		}
		return errTried
	}}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err == nil {
		return listener.Close()
	}
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}

// bind binds a socket to an address that package net has resolved.
func bind(fd int, address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		if to, err = netip.ParseAddrPort("[::]" + address); err != nil { // ":8080": all addresses
			return err
		}
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if family == unix.AF_INET {
		v4 := &unix.SockaddrInet4{Port: int(to.Port())}
		if to.Addr().Is4() {
			v4.Addr = to.Addr().As4()
		}
		return unix.Bind(fd, v4)
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
}
