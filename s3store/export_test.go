package s3store

import "time"

// SetCacheBudget changes the budget of an open store's cache of states, in bytes.
func SetCacheBudget(s *Store, budget int64) { s.opened.Load().cache = newStateCache(budget) }

// SetClient changes the client of an open store.
func SetClient(s *Store, client Client) { s.opened.Load().client = client }

// SetTouchAfter changes how long a chunk of an open store may arrive without a change.
func SetTouchAfter(s *Store, after time.Duration) { s.opened.Load().touchAfter = after }
