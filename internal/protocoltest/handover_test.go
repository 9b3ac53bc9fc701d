package protocoltest

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/wire"
)

func TestHandOvers(t *testing.T) {
	require.Long(t)
	race := scenario{"race", "a request that asks for the upload just when its holder returns harms no connection", handOverRace}
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) { race.run(t, p, memoryStore) })
	}
}

// handOvers is how often a PATCH ends at about the time when a newer request preempts it,
// half of them over each protocol. Many pairs of clients run at the same time: they mostly
// wait.
const (
	handOvers = 10_000
	pairs     = 50
)

// handOverWindow is longer than a preempted PATCH may go on: some PATCHes end before they are
// preempted, and some after.
const handOverWindow = 30 * time.Millisecond

// handOver is a pair of clients of one upload: the holder sends PATCHes of two bytes, the
// second byte after a delay. The taker sends a HEAD during each.
type handOver struct {
	*env
	upload        string
	holder, taker *client
	offset        int64
	ended, stored atomic.Int64 // PATCHes that were ended early, and that were not
}

func handOverRace(e *env) {
	rounds := handOvers / len(protocols) / pairs
	if !require.Thorough() {
		rounds /= 5 // the rest is for CI
	}
	all := make([]*handOver, pairs)
	for i := range all {
		all[i] = &handOver{env: e, upload: e.createDeferred(), holder: e.another(), taker: e.another()}
		all[i].holder.connect()
		all[i].taker.connect()
	}
	var group sync.WaitGroup
	for _, h := range all {
		group.Go(func() {
			for range rounds {
				h.round()
			}
		})
	}
	group.Wait()
	wantBothEnds(e, all)
}

// wantBothEnds checks that the race took place.
func wantBothEnds(e *env, all []*handOver) {
	var ended, stored int64
	for _, h := range all {
		ended += h.ended.Load()
		stored += h.stored.Load()
	}
	if ended == 0 || stored == 0 {
		e.Errorf("%d PATCHes were ended by a newer request and %d were not: there was no race", ended, stored)
	}
}

// round runs one PATCH and one HEAD. Each must get a complete answer, also after a preempted
// request on the same connection.
func (h *handOver) round() {
	if h.Failed() {
		return
	}
	s := h.holder.openNow(h.upload, h.offset, 2)
	s.send([]byte("a"))
	var head *answer
	var group sync.WaitGroup
	group.Go(func() {
		randomDelay()
		head = h.taker.head(h.upload).status(200, 423)
	})
	randomDelay()
	_, sendErr := s.Write([]byte("b"))
	sendErr = errors.Join(sendErr, s.CloseWrite())
	patch := s.answer().status(204, 423)
	group.Wait()
	h.judge(patch, sendErr)
	if patch.Status == 204 {
		head = patch
	} // else it was this HEAD that ended the PATCH and saw what was left
	h.offset, _ = strconv.ParseInt(head.Header.Get("Upload-Offset"), 10, 64)
}

// randomDelay waits for a random time within the window. It synchronises nothing.
func randomDelay() { <-time.After(rand.N(handOverWindow)) }

// judge counts the result, and drops the connection of the holder if the server closes it.
func (h *handOver) judge(patch *answer, sendErr error) {
	if patch.Status == 204 {
		h.stored.Add(1)
	} else {
		h.ended.Add(1)
	}
	if patch.Close {
		h.holder.drop()
		return
	}
	if sendErr != nil && !errors.Is(sendErr, wire.ErrEnded) {
		h.Errorf("the connection was cut without announcement: %v", sendErr)
	}
}
