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

// relay is a TCP proxy between a client and a server that can be cut, and
// that reads along: it knows every request that passed and its answer. Its
// address stays while the server behind it is killed and started again.
type relay struct {
	listener net.Listener
	open     sync.WaitGroup

	mu        sync.Mutex
	target    string
	conns     map[net.Conn]struct{}
	forwarded int64 // bytes from clients to the server
	rate      int64 // of each connection to the server, in bytes per second; 0: what it can
	trips     []trip
	exchanges []*exchange
	asked     func(exchange)
	answered  func(exchange)
}

// exchange is a request that passed, and its answer.
type exchange struct {
	Method, Path, Concat string
	Status               int // 0: the answer never came
	Location             string
}

// trip is something to do once so many bytes came from clients.
type trip struct {
	at int64
	do func()
}

// startRelay listens, and passes everything to target (host:port).
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

// retarget passes new connections to another server.
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

// after has do called when the next n bytes have been passed to the server.
// Nothing more is passed on that connection while do runs.
func (r *relay) after(n int64, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trips = append(r.trips, trip{at: r.forwarded + n, do: do})
}

// onRequest has do called with every exchange when its request's header has
// passed. It has no answer yet.
func (r *relay) onRequest(do func(exchange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = do
}

// onAnswer has do called with every exchange when it has been answered.
func (r *relay) onAnswer(do func(exchange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = do
}

// pace makes the way to the server as slow as so many bytes per second, for
// each connection that is made from now on.
func (r *relay) pace(bytesPerSecond int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate = bytesPerSecond
}

// toServer is the way to the server.
func (r *relay) toServer(server net.Conn) io.Writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate == 0 {
		return counted{r, server}
	}
	return paced{counted{r, server}, r.rate}
}

// cut resets all connections, on both sides.
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

// serve passes one connection until either side ends it.
func (r *relay) serve(client net.Conn) {
	defer r.adopt(client)()
	server, err := r.dial()
	if err != nil {
		return // the client sees the connection closed, as with a proxy whose server is away
	}
	defer r.adopt(server)()
	requests, toRequests := io.Pipe()
	answers, toAnswers := io.Pipe()
	waiting := make(chan *exchange, 64)
	var both sync.WaitGroup
	both.Go(func() { r.readRequests(requests, waiting) })
	both.Go(func() { r.readAnswers(answers, waiting) })
	both.Go(func() {
		io.Copy(io.MultiWriter(toAnswers, client), server) // what the client knows has been read before
		toAnswers.Close()
		client.Close()
	})
	io.Copy(io.MultiWriter(r.toServer(server), toRequests), client)
	toRequests.Close()
	server.Close()
	both.Wait()
}

// adopt makes conn one that cut resets, and returns what ends that.
func (r *relay) adopt(conn net.Conn) (release func()) {
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

// counted is the way to the server, with the trips on it.
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

// paced is a way to the server with a rate. What is written to it comes in
// pieces of 32 KiB at most (io.Copy), and each takes its time.
type paced struct {
	counted
	rate int64
}

func (p paced) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(p.rate))
	return p.counted.Write(b)
}

// count adds n bytes and takes out the trips that they reach.
func (r *relay) count(n int) (due []trip) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forwarded += int64(n)
	r.trips = slices.DeleteFunc(r.trips, func(t trip) bool {
		if t.at > r.forwarded {
			return false
		}
		due = append(due, t)
		return true
	})
	return due
}

// readRequests records what one connection's client asks.
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
		copied, asked := *e, r.asked
		r.mu.Unlock()
		if asked != nil {
			asked(copied)
		}
		waiting <- e
		io.Copy(io.Discard, request.Body)
	}
}

// readAnswers records what the server answers, in the order of the requests.
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
	copied, answered := *e, r.answered
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
