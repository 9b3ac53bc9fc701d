package filestore

import (
	"errors"

	"github.com/tus/tusd"
)

// Durability is what survives a power cut. A killed process loses nothing that was
// acknowledged, at any level.
type Durability int

// The levels.
const (
	// Ack: creations, offsets and terminations are on disk before they are
	// acknowledged.
	Ack Durability = iota
	// Complete: an upload is on disk before it is shown as complete.
	Complete
	// None: the operating system decides when to write.
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

// mustSync reports whether an upload must be on disk before info is shown.
func (d Durability) mustSync(info tusd.FileInfo) bool {
	return d == Ack || d == Complete && info.Full()
}
