package tusd

import "time"

// What tests outside the package turn.

// SetClock replaces the clock that ages of uploads and side records go by.
func SetClock(h *Handler, now func() time.Time) { h.engine.now = now }

// SetRetry sets the first wait between two attempts to finish an upload.
func SetRetry(h *Handler, wait time.Duration) { h.engine.retry = wait }

// SetPatience sets how long a POST waits for its final upload.
func SetPatience(h *Handler, wait time.Duration) { h.engine.wait = wait }

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
