package s3store

// KeepBytes changes how many bytes an open store keeps between requests.
func KeepBytes(s *Store, budget int64) { s.opened.Load().kept = newKeptStates(budget) }
