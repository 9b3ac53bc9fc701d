package tusd

import "unsafe"

// MemorySize estimates how many bytes of memory i leads to, beside the struct
// itself: what a cache of records counts. Clients choose most of it: metadata and
// a list of partial uploads may have many times the size of a usual record.
func (i FileInfo) MemorySize() int {
	n := len(i.ID) + len(i.Dialect) + len(i.State) + len(i.RawMetaData) + len(i.RawConcat)
	n += mapSize(i.MetaData) + mapSize(i.Storage)
	n += listSize(i.PartialUploads) + listSize(i.Finals)
	for _, d := range i.Digests {
		n += int(unsafe.Sizeof(d)) + len(d.Algorithm) + cap(d.State) + cap(d.Sum) + cap(d.Want)
	}
	if i.KnownLength != nil {
		n += int(unsafe.Sizeof(*i.KnownLength))
	}
	if f := i.Failure; f != nil {
		n += int(unsafe.Sizeof(*f)) + len(f.Code) + len(f.Body) + mapSize(f.Header)
	}
	return n
}

func listSize(list []string) int {
	n := cap(list) * int(unsafe.Sizeof(""))
	for _, s := range list {
		n += len(s) + spareBytes
	}
	return n
}

// A map has room for so many entries, which it begins with and then doubles, and
// so many bytes for itself. An allocation has some bytes more than was asked for.
const (
	leastEntries = 8
	mapBytes     = 64
	spareBytes   = 8
)

func mapSize(m map[string]string) int {
	if m == nil {
		return 0
	}
	room := leastEntries
	for room < len(m)+len(m)/7 { // seven eighths of it can be full
		room *= 2
	}
	n := mapBytes + room*(2*int(unsafe.Sizeof(""))+1)
	for name, value := range m {
		n += len(name) + len(value) + 2*spareBytes
	}
	return n
}
