package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Plan is the amount of load. All fields are required.
type Plan struct {
	Clients  int   // that work at the same time, each on its own connection
	Requests int   // operations of a run of small and cwu, a fifth of those of head
	Size     int64 // of the uploads of patch and chunks, in bytes
	Chunk    int64 // of chunks, in bytes
}

const (
	smallSize = 4 << 10
	// headUploads is the number of uploads of the workload head: more than clients, so that
	// two clients seldom use the same upload.
	headUploads = 100
	// headsPerRequest is the number of HEADs for one request of a plan: a HEAD is so fast
	// that a run would be too short.
	headsPerRequest = 5
)

// Workload is a kind of load of a certain size.
type Workload struct {
	Name string
	What string // an operation, for people

	clients    int
	operations int
	bytes      int64 // that an operation uploads
	prepare    func(*client, int) error
	prepared   int // how often prepare is called
	operate    func(*client, int) error
	stay       bool // the uploads stay until the end
}

// Names are the names of workloads that Parse knows, for people.
const Names = "head, small, cwu, chunks, patch, patchN (N MiB), whole, wholeN, slow"

// Parse returns the workload of that name.
func Parse(name string, plan Plan) (Workload, error) {
	w := Workload{Name: name, clients: plan.Clients, operations: plan.Requests, stay: true}
	switch {
	case name == "head":
		w.What = "HEAD of a half-done upload"
		w.operations *= headsPerRequest
		w.prepare, w.prepared, w.operate = (*client).makeHalf, min(headUploads, w.operations), (*client).askHead
	case name == "small":
		w.What = "create, PATCH of 4 KiB"
		w.bytes, w.operate = smallSize, (*client).small
	case name == "cwu":
		w.What = "creation with 4 KiB"
		w.bytes, w.operate = smallSize, (*client).createWith
	case name == "chunks":
		w.What = fmt.Sprintf("PATCH of %d bytes", plan.Chunk)
		w.operations, w.bytes, w.stay = plan.Clients, plan.Size, false
		w.prepare, w.prepared, w.operate = makeEmpty(plan.Size), plan.Clients, inChunks(plan.Chunk)
	case strings.HasPrefix(name, "patch"):
		return w.asPatch(plan.Size)
	case strings.HasPrefix(name, "whole"):
		return w.asWhole(plan)
	default:
		return w, fmt.Errorf("there is no workload %q, but %s", name, Names)
	}
	return w, nil
}

// sizeOf returns the size in the name of w, or else size.
func (w Workload) sizeOf(prefix string, size int64) (int64, error) {
	number := strings.TrimPrefix(w.Name, prefix)
	if number == "" {
		return size, nil
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("workload %q: %q is no number of MiB", w.Name, number)
	}
	return n << 20, nil
}

// wholesPerClient is how many uploads each client makes in a run of whole.
const wholesPerClient = 4

// asWhole makes w whole uploads of all clients, of the size in its name if there is one.
func (w Workload) asWhole(plan Plan) (Workload, error) {
	size, err := w.sizeOf("whole", plan.Size)
	w.What = fmt.Sprintf("create, PATCH of %d bytes", size)
	w.operations, w.bytes, w.stay = wholesPerClient*plan.Clients, size, false
	w.operate = func(c *client, i int) error { return c.whole(i, size) }
	return w, err
}

// asPatch makes w one large PATCH, of the size in its name if there is one.
func (w Workload) asPatch(size int64) (Workload, error) {
	size, err := w.sizeOf("patch", size)
	w.What = fmt.Sprintf("PATCH of %d bytes", size)
	w.clients, w.operations, w.bytes, w.stay = 1, 1, size, false
	w.prepare, w.prepared, w.operate = makeEmpty(size), 1, inChunks(size)
	return w, err
}

// HeadsOf returns a workload of HEADs for existing uploads, count
// of them, at least as many as there are clients. Each client picks its own at
// random.
func HeadsOf(name string, plan Plan, count int, upload func(t *Target, i int) Upload) Workload {
	return Workload{
		Name: name, What: "HEAD of an upload", clients: plan.Clients, operations: plan.Requests * headsPerRequest,
		operate: func(c *client, _ int) error {
			defer c.recordLatency()
			own := (count - c.number + plan.Clients - 1) / plan.Clients
			u := upload(c.target, c.number+plan.Clients*rand.IntN(own))
			return c.look(&u)
		},
	}
}

// uploads returns the number of uploads that a run creates.
func (w Workload) uploads() int {
	if w.prepared > 0 {
		return w.prepared
	}
	return w.operations
}

// makeHalf prepares the i-th upload with half of its bytes.
func (c *client) makeHalf(i int) error {
	u := c.target.next(2 * smallSize)
	if err := c.create(c.target, &u, unknown); err != nil {
		return err
	}
	err := c.patch(&u, smallSize)
	c.uploads[i] = u
	return err
}

// makeEmpty returns a function that prepares the i-th upload without content.
func makeEmpty(size int64) func(*client, int) error {
	return func(c *client, i int) error {
		c.uploads[i] = c.target.next(size)
		return c.create(c.target, &c.uploads[i], unknown)
	}
}

func (c *client) askHead(i int) error {
	defer c.recordLatency()
	return c.look(&c.uploads[i%len(c.uploads)])
}

func (c *client) small(i int) error { return c.whole(i, smallSize) }

// whole makes the i-th upload, in two requests.
func (c *client) whole(i int, size int64) error {
	defer c.recordLatency()
	u := c.target.next(size)
	if err := c.create(c.target, &u, unknown); err != nil {
		return err
	}
	err := c.patch(&u, size)
	c.uploads[i] = u
	return err
}

func (c *client) createWith(i int) error {
	defer c.recordLatency()
	u := c.target.next(smallSize)
	err := c.create(c.target, &u, smallSize)
	c.uploads[i] = u
	return err
}

// inChunks returns a function that uploads the i-th upload, at most size bytes
// in a request.
func inChunks(size int64) func(*client, int) error {
	return func(c *client, i int) error {
		for u := &c.uploads[i]; u.Offset < u.Length; c.recordLatency() {
			if err := c.add(u, min(size, u.Length-u.Offset)); err != nil {
				return err
			}
		}
		return nil
	}
}

// add appends the next n bytes to u, or makes the server generate them.
func (c *client) add(u *Upload, n int64) error {
	if header := c.target.OrderHeader; header != "" {
		return c.order(u, header, n)
	}
	return c.patch(u, n)
}

// made returns the uploads that were created.
func made(uploads []Upload) []Upload {
	return slices.DeleteFunc(uploads, func(u Upload) bool { return u.Path == "" })
}
