package filestore

import (
	"testing"
)

// While a chunk is written, a reader without a lease sees the offset before it.
func TestReaderBesideWriter(t *testing.T) {
	for _, level := range levels {
		for name, fresh := range map[string]bool{"known": false, "after a restart": true} {
			t.Run(level.String()+"/"+name, func(t *testing.T) {
				s := openStore(t, level)
				offsetOf(t, createWithContent(t, s, "a", int64(len(stored+added)), stored))
				if fresh {
					s = reopen(t, s)
				}
				up := loadUpload(t, s, "a")
				offsetOf(t, up)
				read := func() int64 {
					reader, err := s.GetUpload(t.Context(), nil, "a")
					if err != nil {
						t.Fatal(err)
					}
					return offsetOf(t, reader)
				}
				var seen []int64
				half := 0
				src := readFunc(func(p []byte) (int, error) {
					seen = append(seen, read(), offsetOf(t, up))
					if half++; half > 1 {
						return 0, errSource
					}
					return copy(p, added[:3]), nil
				})
				if n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), src); n != 0 || err == nil {
					t.Fatalf("WriteAtomic gives %d, %v", n, err)
				}
				half = 0
				if n, err := up.WriteChunk(t.Context(), int64(len(stored)), src); n != 3 || err == nil {
					t.Fatalf("WriteChunk gives %d, %v", n, err)
				}
				for _, got := range seen {
					if got != int64(len(stored)) {
						t.Errorf("while a chunk is written the offset is %d, want %d", got, len(stored))
					}
				}
				if got := read(); got != int64(len(stored))+3 {
					t.Errorf("after it the offset is %d, want %d", got, len(stored)+3)
				}
			})
		}
	}
}
