package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// relay is a TCP proxy between a client and a server. It can cut connections, and it
// records every request and its answer. Its address stays the same while the server
// behind it is restarted.
type relay struct {
	listener net.Listener
	open     sync.WaitGroup

	mu          sync.Mutex
	target      string
	conns       map[net.Conn]struct{}
	forwarded   int64 // bytes from clients to the server
	rate        int64 // of each connection to the server, in bytes per second; 0: not limited
	triggers    []trigger
	exchanges   []*exchange
	requestHook func(exchange)
	answerHook  func(exchange)
}

// exchange is a request and its answer.
type exchange struct {
	Method, Path, Concat string
	Status               int // 0: there was no answer
	Location             string
}

// trigger is a function that is called after a number of bytes from clients, and not
// before so many uploads have had a PATCH.
type trigger struct {
	at      int64
	uploads int
	do      func()
}

// startRelay listens and forwards connections to target (host:port).
func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target, conns: make(map[net.Conn]struct{})}
	r.open.Go(r.accept)
	t.Cleanup(func() {
		listener.Close()
		r.cut()
		r.open.Wait()
	})
	return r
}

func (r *relay) url() string { return "http://" + r.listener.Addr().String() }

// retarget forwards new connections to another server.
func (r *relay) retarget(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// dial connects to the server.
func (r *relay) dial() (net.Conn, error) {
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	return net.Dial("tcp", target)
}

// after calls do when the next n bytes have been forwarded to the server. While do runs,
// nothing more is forwarded on that connection.
func (r *relay) after(n int64, do func()) { r.afterPatches(0, n, do) }

// afterPatches is after, but do also waits until so many uploads have had a PATCH. A
// client that sends PATCH has got the answer to its creation, and does not repeat it.
func (r *relay) afterPatches(uploads int, n int64, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.triggers = append(r.triggers, trigger{at: r.forwarded + n, uploads: uploads, do: do})
}

// onRequest calls do with every exchange when the header of its request has been
// forwarded. The exchange has no answer yet.
func (r *relay) onRequest(do func(exchange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requestHook = do
}

// onAnswer calls do with every exchange when it has been answered.
func (r *relay) onAnswer(do func(exchange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answerHook = do
}

// pace limits the rate of each later connection to the server.
func (r *relay) pace(bytesPerSecond int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate = bytesPerSecond
}

// toServer returns the writer to the server.
func (r *relay) toServer(server net.Conn) io.Writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate == 0 {
		return counted{r, server}
	}
	return paced{counted{r, server}, r.rate}
}

// cut resets all connections of clients and to the server.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		conn.Close()
	}
}

// seen returns a copy of the exchanges whose method is one of methods.
func (r *relay) seen(methods ...string) []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []exchange
	for _, e := range r.exchanges {
		if slices.Contains(methods, e.Method) {
			found = append(found, *e)
		}
	}
	return found
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.open.Go(func() { r.serve(client) })
	}
}

// serve forwards one connection until the client or the server ends it.
func (r *relay) serve(client net.Conn) {
	defer r.track(client)()
	server, err := r.dial()
	if err != nil {
		return // the client's connection is closed
	}
	defer r.track(server)()
	requests, toRequests := io.Pipe()
	answers, toAnswers := io.Pipe()
	waiting := make(chan *exchange, 64)
	var both sync.WaitGroup
	both.Go(func() { r.readRequests(requests, waiting) })
	both.Go(func() { r.readAnswers(answers, waiting) })
	both.Go(func() {
		io.Copy(io.MultiWriter(toAnswers, client), server) // an answer is recorded before the client gets it
		toAnswers.Close()
		client.Close()
	})
	io.Copy(io.MultiWriter(r.toServer(server), toRequests), client)
	toRequests.Close()
	server.Close()
	both.Wait()
}

// track adds conn to those that cut resets. release closes and removes it.
func (r *relay) track(conn net.Conn) (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = struct{}{}
	return func() {
		conn.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, conn)
	}
}

// counted is a writer to the server that runs triggers.
type counted struct {
	relay  *relay
	server net.Conn
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.server.Write(p)
	for _, due := range c.relay.count(n) {
		due.do()
	}
	return n, err
}

// paced is a writer to the server with a limited rate. io.Copy writes at most 32 KiB at
// once.
type paced struct {
	counted
	rate int64
}

func (p paced) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(p.rate))
	return p.counted.Write(b)
}

// count adds n bytes. It removes and returns the triggers that are reached.
func (r *relay) count(n int) (due []trigger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forwarded += int64(n)
	r.triggers = slices.DeleteFunc(r.triggers, func(t trigger) bool {
		if t.at > r.forwarded || r.patched() < t.uploads {
			return false
		}
		due = append(due, t)
		return true
	})
	return due
}

// patched counts the uploads that have had a PATCH. The caller holds r.mu.
func (r *relay) patched() int {
	paths := make(map[string]bool)
	for _, e := range r.exchanges {
		if e.Method == http.MethodPatch {
			paths[e.Path] = true
		}
	}
	return len(paths)
}

// readRequests records the requests of one connection.
func (r *relay) readRequests(stream *io.PipeReader, waiting chan<- *exchange) {
	defer io.Copy(io.Discard, stream)
	defer close(waiting)
	buffered := bufio.NewReader(stream)
	for {
		request, err := http.ReadRequest(buffered)
		if err != nil {
			return
		}
		e := &exchange{Method: request.Method, Path: request.RequestURI, Concat: request.Header.Get("Upload-Concat")}
		r.mu.Lock()
		r.exchanges = append(r.exchanges, e)
		copied, asked := *e, r.requestHook
		r.mu.Unlock()
		if asked != nil {
			asked(copied)
		}
		waiting <- e
		io.Copy(io.Discard, request.Body)
	}
}

// readAnswers records the answers of the server, in the order of the requests.
func (r *relay) readAnswers(stream *io.PipeReader, waiting <-chan *exchange) {
	defer io.Copy(io.Discard, stream)
	buffered := bufio.NewReader(stream)
	for e := range waiting {
		response, err := readFinalResponse(buffered, e.Method)
		if err != nil {
			return
		}
		r.record(e, response)
		io.Copy(io.Discard, response.Body)
	}
}

func (r *relay) record(e *exchange, response *http.Response) {
	r.mu.Lock()
	e.Status, e.Location = response.StatusCode, response.Header.Get("Location")
	copied, answered := *e, r.answerHook
	r.mu.Unlock()
	if answered != nil {
		answered(copied)
	}
}

// readFinalResponse skips interim responses (100, 103, 104).
func readFinalResponse(stream *bufio.Reader, method string) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(stream, &http.Request{Method: method})
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
	}
}
