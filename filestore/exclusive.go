package filestore

// ExcludesProcesses reports that no two processes can have the directory open at a time if
// their lockers work in one process only (limitedstore.Exclusive).
func (s *FileStore) ExcludesProcesses() bool { return true }
