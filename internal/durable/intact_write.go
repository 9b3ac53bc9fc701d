//go:build !tusd_broken_earlyack

package durable

func (f File) writeAt(p []byte, off int64) (int, error) { return f.d.writeAt(p, off) }
