package cli

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// socket is a listener of the server.
type socket struct {
	net.Listener
	// host is the host and port for URLs; "": a Unix socket, which has none.
	host string
	// everywhere means that it listens at every address of the machine.
	everywhere bool
}

// listen opens the sockets of the configuration, or takes over those that
// systemd has opened.
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
			return nil, fmt.Errorf("systemd has opened the socket to listen on, and %s names another one", cfg.sources.name(setting))
		}
	}
	var sockets []socket
	for _, listener := range handed {
		if listener == nil {
			return nil, errors.New("systemd has opened a socket that connections cannot be accepted from")
		}
		s := socket{Listener: listener}
		if addr, ok := listener.Addr().(*net.TCPAddr); ok {
			s.host, s.everywhere = hostInURL(nameOf(addr), addr)
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// open listens as the settings say.
func (l listenSettings) open() (socket, error) {
	if l.unixSock != "" {
		listener, err := listenUnix(l.unixSock, l.unixAccess)
		return socket{Listener: listener}, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(int(l.port))))
	if err != nil {
		return socket{}, withPortAdvice(err)
	}
	s := socket{Listener: listener}
	s.host, s.everywhere = hostInURL(l.host, listener.Addr().(*net.TCPAddr))
	return s, nil
}

// nameOf returns the address of addr with its zone, and without its port.
func nameOf(addr *net.TCPAddr) string { return (&net.IPAddr{IP: addr.IP, Zone: addr.Zone}).String() }

// hostInURL returns the host and port of addr for URLs that people and scripts
// of this machine use; host is as configured. If addr is every address of the
// machine (everywhere), it is the loopback address of IPv4, since Go listens
// for both versions at "" and ::. The zone of an address is escaped.
func hostInURL(host string, addr *net.TCPAddr) (inURL string, everywhere bool) {
	everywhere = addr.IP.IsUnspecified()
	if everywhere {
		host = "127.0.0.1"
	}
	host = strings.ReplaceAll(host, "%", "%25")
	return net.JoinHostPort(host, strconv.Itoa(addr.Port)), everywhere
}

// listen opens the address of -admin-listen; nil if it is not set.
func (m monitoringSettings) listen() (*socket, error) {
	if m.adminListen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", m.adminListen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on -admin-listen: %w", withPortAdvice(err))
	}
	addr := listener.Addr().(*net.TCPAddr)
	s := socket{Listener: listener}
	s.host, s.everywhere = hostInURL(nameOf(addr), addr)
	return &s, nil
}
