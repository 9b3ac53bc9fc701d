package load

import (
	"bytes"
	"io"
	"slices"
	"testing"
)

// bytesOf returns the first n bytes of a content.
func bytesOf(c Content, n int) []byte {
	p := make([]byte, n)
	c.Fill(p, 0)
	return p
}

func TestFillAtOffsets(t *testing.T) {
	const length = 200
	want := bytesOf(7, length)
	for block := 1; block < 30; block++ {
		got := make([]byte, length)
		for at := 0; at < length; at += block {
			Content(7).Fill(got[at:min(at+block, length)], int64(at))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("in blocks of %d bytes the content differs", block)
		}
	}
}

func TestCompare(t *testing.T) {
	const length = 200_000 // several buffers
	good := bytesOf(7, length)
	flipped := slices.Clone(good)
	flipped[length-1] ^= 1
	for _, c := range []struct {
		name string
		got  []byte
		ok   bool
	}{
		{"the content", good, true},
		{"a wrong byte", flipped, false},
		{"a lost byte", slices.Delete(slices.Clone(good), 100_000, 100_001), false},
		{"a byte twice", slices.Insert(slices.Clone(good), 100_000, good[100_000]), false},
		{"a byte too many", append(slices.Clone(good), 0), false},
		{"a byte too few", good[:length-1], false},
		{"moved by a word", append(slices.Clone(good[8:]), good[:8]...), false},
		{"another upload's", bytesOf(8, length), false},
		{"zeros", make([]byte, length), false},
		{"nothing", nil, false},
	} {
		err := Content(7).Compare(io.MultiReader(bytes.NewReader(c.got)), length)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := Content(7).Compare(bytes.NewReader(nil), 0); err != nil {
		t.Errorf("nothing of nothing: %v", err)
	}
}
