package limitedstore

import (
	"context"
	"time"

	"github.com/tus/tusd"
)

// Resolve finds out what the doubtful uploads count for.
func Resolve(s *LimitedStore) { s.keeper.resolve(context.Background()) }

// Count counts all uploads and takes over the sums.
func Count(s *LimitedStore) (tusd.SpaceUsage, error) {
	err := s.count(context.Background())
	return s.Usage(), err
}

// SetTiming shortens what s waits for. Call it before Open.
func SetTiming(s *LimitedStore, roomWait, silence, beat time.Duration) {
	s.timing.roomWait, s.timing.silence, s.timing.beat, s.timing.poll = roomWait, silence, beat, beat
}
