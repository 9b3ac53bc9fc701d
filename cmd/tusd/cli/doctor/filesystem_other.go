//go:build !linux

package doctor

// The system is asked only on Linux.

func (i *inspection) nameFileSystem() error { return nil }

func (i *inspection) measureSpace() error { return nil }
