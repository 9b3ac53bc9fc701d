package tusd

import "time"

// What tests outside the package turn.

// NewHandlerWith is NewHandler with something turned before work begins in the
// background.
func NewHandlerWith(config Config, turn func(*Handler)) (*Handler, error) {
	h, err := newHandler(config)
	if err == nil {
		turn(h)
		h.engine.resume()
	}
	return h, err
}

// SetClock replaces the clock that ages of uploads and side records go by.
func SetClock(h *Handler, now func() time.Time) { h.engine.now = now }

// SetRetry sets the first wait between two attempts to finish an upload.
func SetRetry(h *Handler, wait time.Duration) { h.engine.firstRetryDelay = wait }

// SetBuilders replaces how many finals may wait for their first and for a later
// attempt, and the longest wait between two.
func SetBuilders(h *Handler, builders, retrying int, rebuild time.Duration) {
	h.engine.builders, h.engine.retrying, h.engine.lastRebuildDelay = make(semaphore, builders), make(semaphore, retrying), rebuild
}

// SetPatience sets how long a POST waits for its final upload.
func SetPatience(h *Handler, wait time.Duration) { h.engine.buildTimeout = wait }

// Parsers, for the fuzz targets.
var (
	ParseID        = parseID
	EscapeID       = escapeID
	ParsePartials  = parsePartials
	ParseInteger   = parseInteger
	ContentHeaders = contentHeaders
	RequestID      = requestID
	ParseBasePath  = parseBasePath
)

// SetMostRetries sets how many uploads wait to be finished in memory.
func SetMostRetries(h *Handler, most int64) { h.engine.mostRetries = most }
