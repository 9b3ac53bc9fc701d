package cli

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
)

// socket is something that connections come from.
type socket struct {
	net.Listener
	// host is how people name it in a URL; "": they cannot, it is a Unix
	// socket.
	host string
}

// listen opens what the configuration names, or takes over what systemd has
// opened.
func (cfg config) listen() ([]socket, error) {
	handed, err := activation.Listeners()
	switch {
	case err != nil:
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	case len(handed) > 0:
		return cfg.takeOver(handed)
	}
	s, err := cfg.listening.open()
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	return []socket{s}, nil
}

// takeOver uses sockets that systemd has opened (socket activation).
func (cfg config) takeOver(handed []net.Listener) ([]socket, error) {
	for _, setting := range []string{"host", "port", "unix-sock"} {
		if cfg.isSet(setting) {
			return nil, fmt.Errorf("systemd has opened the socket to listen on, and %s names another one", cfg.given.name(setting))
		}
	}
	var sockets []socket
	for _, listener := range handed {
		if listener == nil {
			return nil, errors.New("systemd has opened a socket that connections cannot be accepted from")
		}
		s := socket{Listener: listener}
		if addr, ok := listener.Addr().(*net.TCPAddr); ok {
			s.host = addr.String()
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// open listens where the configuration says.
func (l listening) open() (socket, error) {
	if l.unixSock != "" {
		listener, err := listenUnix(l.unixSock, l.unixAccess)
		return socket{Listener: listener}, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(int(l.port))))
	if err != nil {
		return socket{}, advisedPort(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return socket{Listener: listener, host: net.JoinHostPort(l.host, strconv.Itoa(port))}, nil
}

// listen opens the address of -admin-listen; nil if there is none.
func (m monitoring) listen() (*socket, error) {
	if m.adminListen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", m.adminListen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for operators: %w", advisedPort(err))
	}
	return &socket{Listener: listener, host: listener.Addr().String()}, nil
}
