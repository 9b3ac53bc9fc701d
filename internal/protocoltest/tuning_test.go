package protocoltest

import (
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
)

// newTunedHandler is tusd.NewHandler with changed values.
func newTunedHandler(config tusd.Config, changes ...func(*tuning.Values)) (*tusd.Handler, error) {
	h, err := tuning.NewHandler(config, func(v *tuning.Values) {
		for _, change := range changes {
			change(v)
		}
	})
	if err != nil {
		return nil, err
	}
	return h.(*tusd.Handler), nil
}

// setBuilders sets how many finals may wait for their first and for a later attempt, and the
// time between two attempts.
func setBuilders(builders, retrying int, rebuild time.Duration) func(*tuning.Values) {
	return func(v *tuning.Values) { v.MaxBuilders, v.MaxRetrying, v.LastRebuildDelay = builders, retrying, rebuild }
}

// buildTimeout sets how long a POST waits for its final.
func buildTimeout(wait time.Duration) func(*tuning.Values) {
	return func(v *tuning.Values) { v.BuildTimeout = wait }
}

// firstRetry sets the time before the second attempt to finish an upload.
func firstRetry(wait time.Duration) func(*tuning.Values) {
	return func(v *tuning.Values) { v.FirstRetryDelay = wait }
}
