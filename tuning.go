package tusd

import "github.com/tus/tusd/internal/tuning"

func init() {
	tuning.NewHandler = func(config any, change func(*tuning.Values)) (any, error) {
		h, err := newHandler(config.(Config))
		if err != nil {
			return nil, err
		}
		h.engine.tune(change)
		if !h.engine.config.Offline {
			h.engine.resume()
		}
		return h, nil
	}
}

// tune changes values for a test.
func (e *engine) tune(change func(*tuning.Values)) {
	v := tuning.Values{
		Now: e.now, FirstRetryDelay: e.firstRetryDelay, LastRebuildDelay: e.lastRebuildDelay, BuildTimeout: e.buildTimeout,
		RescanInterval: e.rescanInterval, FinishWait: e.finishWait, DeliveryDelay: e.deliveries.firstDelay, MaxFinishTasks: e.finishes.Capacity, MaxBuilders: cap(e.builders), MaxRetrying: cap(e.retrying), BuildsAtOnce: cap(e.builds),
	}
	change(&v)
	e.now, e.firstRetryDelay, e.lastRebuildDelay, e.buildTimeout = v.Now, v.FirstRetryDelay, v.LastRebuildDelay, v.BuildTimeout
	e.rescanInterval, e.finishes.Capacity = v.RescanInterval, v.MaxFinishTasks
	e.finishWait, e.deliveries.firstDelay = v.FinishWait, v.DeliveryDelay
	if v.MaxBuilders != cap(e.builders) {
		e.builders = make(semaphore, v.MaxBuilders)
	}
	if v.BuildsAtOnce != cap(e.builds) {
		e.builds = make(semaphore, v.BuildsAtOnce)
	}
	if v.MaxRetrying != cap(e.retrying) {
		e.retrying = make(semaphore, v.MaxRetrying)
	}
}
