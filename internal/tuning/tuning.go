// Package tuning lets tests change times and limits of a handler that are constants for
// embedders. Package tusd sets NewHandler.
package tuning

import "time"

// Values are the times and limits that tests can change.
type Values struct {
	Now              func() time.Time // the clock for ages of uploads and side records
	FirstRetryDelay  time.Duration    // before the second attempt to finish or build
	LastRebuildDelay time.Duration    // the longest delay between two attempts to build
	BuildTimeout     time.Duration    // how long a POST waits for its final upload
	RescanInterval   time.Duration    // between two looks at the side records
	FinishWait       time.Duration    // how long a request waits for the pre-finish callback
	DeliveryDelay    time.Duration    // before the second delivery of an event
	MaxFinishTasks   int              // uploads that wait in memory until they are finished
	MaxBuilders      int              // finals that wait for their first attempt
	MaxRetrying      int              // finals that wait for another attempt
	BuildsAtOnce     int              // finals that are built at the same time
}

// NewHandler is tusd.NewHandler for a tusd.Config, with the values that change sets. They
// apply also to work that the handler resumes. It returns a *tusd.Handler.
var NewHandler func(config any, change func(*Values)) (handler any, err error)
