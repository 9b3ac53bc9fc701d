package tusd

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// trickle delivers a byte a second.
type trickle struct{}

func (trickle) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

// A body that comes slowly is stored in pieces, too, so that its client hears
// of progress; a short one that has ended is one piece.
func TestPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pieceOf := func(src io.Reader) *piece {
			return &piece{started: time.Now(), body: &body{src: src, length: -1, room: 1 << 40, over: ErrMaxSizeExceeded, deadlines: &deadline.Request{}}}
		}
		slow := pieceOf(trickle{})
		if n, err := io.Copy(io.Discard, slow); err != nil || n < 1 || n > 6 || slow.ended {
			t.Errorf("a slow body: piece of %d bytes, ended %v, %v", n, slow.ended, err)
		}
		short := pieceOf(bytes.NewReader(make([]byte, 3<<20)))
		if n, err := io.Copy(io.Discard, short); err != nil || n != 3<<20 || !short.ended {
			t.Errorf("a short body: piece of %d bytes, ended %v, %v", n, short.ended, err)
		}
	})
}

// What is sent of a file under one deadline follows the client's pace, within
// bounds.
func TestPiecesOfAFile(t *testing.T) {
	size := int64(largestPiece)
	for _, c := range []struct {
		took time.Duration
		want int64
	}{
		{time.Millisecond, largestPiece}, {time.Second, largestPiece / 2}, {50 * time.Millisecond, largestPiece / 2},
		{time.Minute, largestPiece / 4}, {time.Millisecond, largestPiece / 2},
	} {
		if size = nextPiece(size, c.took); size != c.want {
			t.Errorf("after %v: %d, want %d", c.took, size, c.want)
		}
	}
	for range 100 {
		size = nextPiece(size, time.Second)
	}
	if size != smallestPiece {
		t.Errorf("the smallest piece is %d", size)
	}
}
