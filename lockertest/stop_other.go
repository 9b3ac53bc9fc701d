//go:build !unix

package lockertest

// canStop reports whether this system can stop a process and let it go on.
const canStop = false

func (c *child) stop()   {}
func (c *child) resume() {}
