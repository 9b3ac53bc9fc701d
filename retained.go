package tusd

import (
	"net/http"
	"strings"
	"unsafe"
)

// What outlives a request owns its bytes and is bounded in bytes, since clients
// choose most of it.

// keptRequestBytes bounds the memory for requests that events of later attempts
// tell of. Of further ones they do not tell.
const keptRequestBytes = 4 << 20

// keepRequest returns what work in the background may keep of a request: all, or
// nothing if the budget is used up. The caller calls drop when the work is over.
func (e *engine) keepRequest(request HTTPRequest) (kept HTTPRequest, drop func()) {
	size := int64(request.memorySize())
	if e.requestBytes.Add(size) > keptRequestBytes {
		e.requestBytes.Add(-size)
		return HTTPRequest{}, func() {}
	}
	return request, func() { e.requestBytes.Add(-size) }
}

// memorySize estimates how many bytes of memory r leads to.
func (r HTTPRequest) memorySize() int {
	return len(r.Method) + len(r.URI) + len(r.RemoteAddr) + headerMemory(r.Header)
}

func headerMemory(header http.Header) int {
	const entry = int(unsafe.Sizeof("") + unsafe.Sizeof([]string{}))
	n := 2 * len(header) * entry
	for name, values := range header {
		n += len(name) + listSize(values)
	}
	return n
}

// ownTexts returns a copy of m that owns its texts. Callbacks may slice theirs out
// of something large.
func ownTexts(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	owned := make(map[string]string, len(m))
	for name, value := range m {
		owned[strings.Clone(name)] = strings.Clone(value)
	}
	return owned
}
