//go:build !linux

package bare

import "os"

// syncData makes data and size of f durable.
func syncData(f *os.File) error { return f.Sync() }
