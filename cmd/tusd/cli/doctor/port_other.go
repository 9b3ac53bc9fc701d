//go:build !linux

package doctor

// TryPort returns nil: on this system a test would block the address for a server that starts
// at the same time.
func TryPort(string) error { return nil }
