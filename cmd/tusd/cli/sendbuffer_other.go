//go:build !linux

package cli

import "net"

// boundUnsent is for systems that let much wait to be sent.
func boundUnsent(l net.Listener) net.Listener { return l }
