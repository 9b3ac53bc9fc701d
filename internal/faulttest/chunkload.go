//go:build linux

package faulttest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/tus/tusd/internal/tusclient"
)

// ChunkLoad is a number of clients that send chunks with checksums, right and
// wrong ones, until their server dies under them.
type ChunkLoad struct {
	Client *tusclient.Client
	Seed   uint64
	// Uploads are gone on with, by one client each; nil: one is made.
	Uploads []*Proven
	// Arriving is closed when a chunk has been sent in part.
	Arriving chan struct{}

	arriving sync.Once
}

// Run works until the server does not answer any more, which is no error. An
// answer that is not allowed is an error.
func (l *ChunkLoad) Run() error {
	wrong := make(chan error, len(l.Uploads))
	for i := range l.Uploads {
		go func() { wrong <- l.work(i) }()
	}
	var err error
	for range l.Uploads {
		if e := <-wrong; e != nil {
			err = e
		}
	}
	return err
}

// work is one client's.
func (l *ChunkLoad) work(i int) error {
	random := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	for {
		err := l.step(i, random)
		if _, ok := err.(died); ok {
			return nil
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
}

// step makes an upload or adds a chunk to it.
func (l *ChunkLoad) step(i int, random *rand.Rand) error {
	const first, enough = 1 << 20, 64 << 20
	if p := l.Uploads[i]; p != nil && p.offset() < enough {
		return l.addChunk(p, random)
	}
	p, err := createProven(l.Client, random.Uint64(), 1+random.Int64N(first))
	if err != nil {
		return diedOr(err)
	}
	l.Uploads[i] = p
	return diedOr(p.append(l.Client, proofs[random.IntN(len(proofs))], 1+random.Int64N(first)))
}

// addChunk sends 1 to 64 MiB, most often few, with the right checksum or a
// wrong one, or stops in the middle.
func (l *ChunkLoad) addChunk(p *Proven, random *rand.Rand) error {
	size := 1<<20 + random.Int64N(63<<20>>random.IntN(6))
	k, err := p.begin(l.Client, proofs[random.IntN(len(proofs))], size)
	if err != nil {
		return diedOr(err)
	}
	middle := random.IntN(len(k.body))
	if random.IntN(4) == 0 {
		k.spoil(middle)
	}
	err = k.send(middle)
	l.arriving.Do(func() { close(l.Arriving) })
	if err == nil && random.IntN(3) > 0 { // else wait for the end of the server
		k.finish()
	}
	return diedOr(k.answer())
}
