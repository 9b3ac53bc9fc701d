//go:build !tusd_broken_earlyack

package durable

import "os"

func writeAt(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }
