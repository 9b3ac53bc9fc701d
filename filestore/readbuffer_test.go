package filestore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// The buffer grows with a read that fills it, and shrinks with two short reads one after
// the other. A read that is only bounded by a multiple is neither.
func TestBufferFollowsTheConnection(t *testing.T) {
	var pools bufferPools
	b := pools.acquire()
	steps := []struct {
		offset int64
		n      int // -1: all
		want   int // index of the size afterwards
	}{
		{0, -1, 2}, {0, 600, 2}, {0, 8 << 10, 2}, {0, 600, 2}, {0, 600, 1}, // 32 KiB and back
		{largestBuffer - 1, -1, 1}, {0, -1, 2}, {largestBuffer - 1, -1, 2}, {largestBuffer - 1, -1, 2}, // bounded
		{0, -1, 3}, {0, 32<<10 - 1, 3}, {largestBuffer - 1, -1, 3}, {0, 32<<10 - 1, 3}, {0, 32 << 10, 3}, // 256 KiB
		{0, 32<<10 - 1, 3}, {0, 32<<10 - 1, 2}, {0, -1, 3}, {0, 1, 3}, {0, 1, 0}, // as small as the reads
		{0, 1, 0}, {0, 511, 0}, {0, -1, 1}, {0, 1, 1}, {0, 512, 1}, {0, 511, 1}, {0, 511, 0}, // 512 bytes
	}
	for i, step := range steps {
		space := b.at(step.offset)
		if step.n < 0 {
			step.n = len(space)
		}
		if b.adapt(step.n, space); b.size != step.want || len(*b.all) != bufferSizes[step.want].bytes {
			t.Fatalf("after read %d, of %d bytes at %d, the size is %d (%d bytes), want %d", i, step.n, step.offset, b.size, len(*b.all), step.want)
		}
	}
}

// The number of buffers above that of net/http is bounded. A connection that becomes slow or
// ends frees its buffer for others.
func TestLargeBuffersAreBounded(t *testing.T) {
	var pools bufferPools
	taken := make([]readBuffer, 100)
	fill := func(i int) { taken[i].adapt(len(taken[i].at(0)), taken[i].at(0)) }
	total := 0
	for i := range taken {
		taken[i] = pools.acquire()
		fill(i)
		fill(i)
		if taken[i].size > firstBuffer {
			total += len(*taken[i].all)
		}
	}
	if total != 8<<20 {
		t.Errorf("%d bytes of larger buffers, want 8 MiB", total)
	}
	wantSize := func(what string, i, want int) {
		t.Helper()
		if taken[i].size != want {
			t.Errorf("%s: connection %d has size %d, want %d", what, i, taken[i].size, want)
		}
	}
	wantSize("fast", 23, 3)
	wantSize("no largest buffer is free", 24, 2)
	wantSize("no larger buffer is free", 88, firstBuffer)
	for range 2 {
		taken[0].adapt(10<<10, taken[0].at(0))
	}
	wantSize("slow, and the next size is in use", 0, firstBuffer)
	fill(24)
	wantSize("a slow connection has freed one", 24, 3)
	fill(88)
	wantSize("a faster connection has freed one", 88, 2)
	taken[24].release()
	fill(25)
	wantSize("a body has ended", 25, 3)
}

// piece is one write.
type piece struct{ offset, n int64 }

// whole reports whether a write is of the largest size, at a multiple of it.
func (p piece) whole() bool { return p.offset%largestBuffer == 0 && p.n == largestBuffer }

// crosses reports whether a write has a multiple of the largest size inside.
func (p piece) crosses() bool { return p.offset/largestBuffer != (p.offset+p.n-1)/largestBuffer }

// writers are the calls that write a body.
var writers = map[string]func(context.Context, *FileStore, tusd.Upload, int64, io.Reader) (int64, error){
	"chunk": func(ctx context.Context, _ *FileStore, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
		return up.WriteChunk(ctx, offset, src)
	},
	"atomic": func(ctx context.Context, s *FileStore, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
		return s.WriteAtomic(ctx, up, offset, src)
	},
}

// piecesOf returns the writes of a body that begins at start: read answers the reads until
// it returns an error. It fails unless the bytes of each read are written, in one write,
// before the next read.
func piecesOf(t *testing.T, writer string, start int64, read readFunc) []piece {
	t.Helper()
	s, ops := openCountingStore(t, None)
	createUpload(t, s, "a", 1<<30)
	if err := os.Truncate(filepath.Join(s.Path, "a"), start); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	up := loadUpload(t, s, "a")
	var pieces []piece
	end, last := start, 0
	src := readFunc(func(p []byte) (int, error) {
		if got := ops.reset()[durable.OpWrite]; last > 0 && got != 1 {
			t.Fatalf("%d writes after a read, want one: nothing waits for more bytes", got)
		}
		n, err := read(p)
		if last = n; n > 0 {
			pieces = append(pieces, piece{end, int64(n)})
			end += int64(n)
		}
		return n, err
	})
	if n, err := writers[writer](t.Context(), s, up, offsetOf(t, up), src); n != end-start || err != nil {
		t.Fatalf("%d of %d bytes: %v", n, end-start, err)
	}
	return pieces
}

// Writes end at multiples of the largest buffer at the latest. So a body is in step after
// five reads that get all they ask for, wherever it begins and whatever was before.
func TestWritesEndAtMultiples(t *testing.T) {
	for writer := range writers {
		for seed := range uint64(50) {
			t.Run(fmt.Sprintf("%s/%d", writer, seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				var full []int // for each write: how many reads before it were full, one after the other
				reads, run := 0, 0
				pieces := piecesOf(t, writer, random.Int64N(1<<20), func(p []byte) (int, error) {
					if reads++; reads > 100 {
						return 0, io.EOF
					}
					n := 0
					switch random.IntN(20) {
					case 0: // nothing
					case 1:
						n = 1 + random.IntN(min(len(p), 16<<10))
					case 2:
						n = 1 + random.IntN(len(p))
					default:
						n = len(p)
					}
					if n > 0 {
						full = append(full, run)
					}
					if run++; n < len(p) {
						run = 0
					}
					return n, nil
				})
				inStep := 0
				for i, p := range pieces {
					if p.crosses() {
						t.Errorf("%d bytes are written at %d, across a multiple of %d", p.n, p.offset, largestBuffer)
					}
					if i+1 < len(pieces) && full[i] >= 5 && full[i+1] == full[i]+1 {
						if inStep++; !p.whole() {
							t.Errorf("%d bytes are written at %d after %d full reads", p.n, p.offset, full[i])
						}
					}
				}
				if inStep == 0 {
					t.Error("no write was in step")
				}
			})
		}
	}
}

// net/http reads a body through a buffer of 4 KiB: at the beginning it returns what came
// with the header, and a read of less than 4 KiB makes it read ahead again. A fast body is
// in step soon nevertheless.
func TestBehindReadAheadWritesAreWhole(t *testing.T) {
	distances := []int64{1, 2, 100, 4095, 4096, 4097, 8191, 8192, 8193, 32 << 10, largestBuffer - 1, largestBuffer}
	for _, ahead := range []int{1, 300, 3800, 4095, 4096} {
		for _, distance := range distances { // from the first grown buffer to a multiple
			start := 2*largestBuffer - distance - int64(ahead) - 4<<10
			reads := 0
			conn := bufio.NewReaderSize(readFunc(func(p []byte) (int, error) {
				if reads++; reads == 1 {
					return ahead, nil
				}
				return len(p), nil
			}), 4<<10)
			conn.Peek(1)
			calls := 0
			pieces := piecesOf(t, "chunk", start, func(p []byte) (int, error) {
				if calls++; calls > 20 {
					return 0, io.EOF
				}
				return conn.Read(p)
			})
			for i, p := range pieces[7:] {
				if !p.whole() {
					t.Errorf("read-ahead %d, distance %d: write %d has %d bytes at %d", ahead, distance, 7+i, p.n, p.offset)
				}
			}
		}
	}
}
