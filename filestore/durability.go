package filestore

import (
	"errors"

	"github.com/tus/tusd"
)

// Durability says what survives a power cut. A killed process loses nothing
// that was acknowledged, at any level.
type Durability int

// The levels.
const (
	// Ack: what is acknowledged is on the disk first, be it an upload's
	// creation, an offset or a termination.
	Ack Durability = iota
	// Complete: an upload is on the disk before it is shown as complete.
	Complete
	// None: the operating system writes when it likes.
	None
)

// ParseDurability reads "ack", "complete" or "none".
func ParseDurability(s string) (Durability, error) {
	for d := Ack; d <= None; d++ {
		if s == d.String() {
			return d, nil
		}
	}
	return 0, errors.New("the durability is none of ack, complete, none")
}

// String is the inverse of ParseDurability.
func (d Durability) String() string {
	switch d {
	case Ack:
		return "ack"
	case Complete:
		return "complete"
	case None:
		return "none"
	}
	return "unknown durability"
}

// mustSync tells whether an upload in the state of info has to be on the disk
// before it is shown.
func (d Durability) mustSync(info tusd.FileInfo) bool {
	return d == Ack || d == Complete && info.Full()
}
