//go:build tusd_broken_earlyack

package durable

import (
	"bytes"
	"os"
	"time"
)

// writeAt reports success and writes later. The tests that kill the server
// must fail on one built so, or they prove nothing.
func writeAt(f *os.File, p []byte, off int64) (int, error) {
	name, late := f.Name(), bytes.Clone(p)
	time.AfterFunc(300*time.Millisecond, func() {
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			f.WriteAt(late, off)
			f.Close()
		}
	})
	return len(p), nil
}
