//go:build linux

package faulttest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/tus/tusd/internal/tusclient"
)

// ChunkLoad is a number of clients that send chunks with right and wrong checksums until
// their server is killed.
type ChunkLoad struct {
	Client *tusclient.Client
	Seed   uint64
	// Uploads are continued by one client each. A client without one (nil) makes one.
	Uploads []*VerifiedUpload
	// Receiving is closed when a part of a chunk has been sent.
	Receiving chan struct{}

	receiving sync.Once
}

// Run sends requests until the server does not answer any more, which is no error. An
// answer that is not allowed is an error.
func (l *ChunkLoad) Run() error {
	errs := make(chan error, len(l.Uploads))
	for i := range l.Uploads {
		go func() { errs <- l.work(i) }()
	}
	var err error
	for range l.Uploads {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}

// work runs one client.
func (l *ChunkLoad) work(i int) error {
	random := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	for {
		err := l.step(i, random)
		if _, ok := err.(noAnswer); ok {
			return nil
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
}

// step makes an upload or appends a chunk to it.
func (l *ChunkLoad) step(i int, random *rand.Rand) error {
	const first, enough = 1 << 20, 64 << 20
	if u := l.Uploads[i]; u != nil && u.offset() < enough {
		return l.addChunk(u, random)
	}
	u, err := createVerified(l.Client, random.Uint64(), 1+random.Int64N(first))
	if err != nil {
		return asNoAnswer(err)
	}
	l.Uploads[i] = u
	return asNoAnswer(u.append(l.Client, checksumModes[random.IntN(len(checksumModes))], 1+random.Int64N(first)))
}

// addChunk sends a chunk of 1 to 64 MiB, mostly a small one, with a right or a wrong
// checksum. It may stop in the middle and wait for the kill.
func (l *ChunkLoad) addChunk(u *VerifiedUpload, random *rand.Rand) error {
	size := 1<<20 + random.Int64N(63<<20>>random.IntN(6))
	k, err := u.openChunk(l.Client, checksumModes[random.IntN(len(checksumModes))], size)
	if err != nil {
		return asNoAnswer(err)
	}
	middle := random.IntN(len(k.body))
	if random.IntN(4) == 0 {
		k.corrupt(middle)
	}
	err = k.send(middle)
	l.receiving.Do(func() { close(l.Receiving) })
	if err == nil && random.IntN(3) > 0 { // else wait for the kill
		k.sendRest()
	}
	return asNoAnswer(k.checkAnswer())
}
