package s3store

// KeepBytes changes how many bytes an open store keeps between requests.
func KeepBytes(s *Store, budget int64) { s.opened.Load().cache = newStateCache(budget) }

// SetClient changes what makes the calls of an open store.
func SetClient(s *Store, client Client) { s.opened.Load().client = client }
