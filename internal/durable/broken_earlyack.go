//go:build tusd_broken_earlyack

package durable

import (
	"bytes"
	"os"
	"time"
)

// writeAt reports success and writes later. The tests that kill the server
// must fail with this build.
func (f File) writeAt(p []byte, off int64) (int, error) {
	late := bytes.Clone(p)
	time.AfterFunc(300*time.Millisecond, func() {
		if d, err := f.tree.open(f.name, os.O_WRONLY, 0); err == nil {
			d.writeAt(late, off)
			d.close()
		}
	})
	return len(p), nil
}
