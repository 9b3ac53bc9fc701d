package lockservices

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// Redis runs a Redis server, without persistence, until the test ends. more are further
// arguments of its command line.
func Redis(tb testing.TB, more ...string) *Server {
	tb.Helper()
	require.Need(tb, "redis", installed("redis-server"), missing)
	s := &Server{Name: "redis", tb: tb, address: loopback.Address(), scheme: "redis", dir: tb.TempDir()}
	s.command = func() *exec.Cmd {
		return exec.Command("redis-server", append([]string{"--port", port(s.address), "--bind", loopback.Host(), "--dir", s.dir,
			"--save", "", "--appendonly", "no"}, more...)...)
	}
	s.ready = func(ctx context.Context) error { return pingRedis(ctx, s.address) }
	return s.run()
}

// pingRedis returns nil if the server takes commands, also if it wants a password first.
func pingRedis(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	fmt.Fprint(conn, "PING\r\n")
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+PONG") && !strings.HasPrefix(answer, "-NOAUTH") {
		err = fmt.Errorf("PING: %q", answer)
	}
	return err
}

// Etcd runs an etcd of one node until the test ends.
func Etcd(tb testing.TB) *Server {
	tb.Helper()
	require.Need(tb, "etcd", installed("etcd"), missing)
	s := &Server{Name: "etcd", tb: tb, address: loopback.Address(), scheme: "http", dir: tb.TempDir()}
	peer := "http://" + loopback.Address()
	s.command = func() *exec.Cmd {
		return exec.Command("etcd", "--data-dir", s.dir,
			"--listen-client-urls", s.URL(), "--advertise-client-urls", s.URL(),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	}
	s.ready = func(ctx context.Context) error {
		health, err := ask(ctx, http.MethodGet, s.URL()+"/health", "")
		if err == nil && !strings.Contains(health, `"true"`) {
			err = fmt.Errorf("/health: %s", health)
		}
		return err
	}
	return s.run()
}

// Consul runs a Consul server of one node until the test ends. It has a data directory:
// an agent with -dev loses everything when it stops.
func Consul(tb testing.TB) *Server {
	tb.Helper()
	require.Need(tb, "consul", installed("consul"), missing)
	s := &Server{Name: "consul", tb: tb, address: loopback.Address(), scheme: "http", dir: tb.TempDir()}
	servers, gossip := loopback.Address(), loopback.Address()
	s.command = func() *exec.Cmd {
		return exec.Command("consul", "agent", "-server", "-bootstrap-expect", "1", "-data-dir", s.dir,
			"-bind", loopback.Host(), "-client", loopback.Host(),
			"-http-port", port(s.address), "-server-port", port(servers), "-serf-lan-port", port(gossip),
			"-serf-wan-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-dns-port", "-1",
			"-log-level", "warn", "-disable-host-node-id", "-hcl", consulSettings)
	}
	s.ready = func(ctx context.Context) error { return tryConsulSession(ctx, s.URL()) }
	return s.run()
}

// consulSettings make elections fast, keep the agent from its home, and allow as many
// connections of one client as a test needs.
const consulSettings = `disable_update_check = true, performance { raft_multiplier = 1 }, limits { http_max_conns_per_client = 10000 }`

// tryConsulSession returns nil if the agent can create a session: it has a leader, and its
// node is registered.
func tryConsulSession(ctx context.Context, url string) error {
	created, err := ask(ctx, http.MethodPut, url+"/v1/session/create", `{"TTL": "10s", "Behavior": "delete"}`)
	if err != nil {
		return err
	}
	parts := strings.Split(created, `"`) // {"ID":"..."}
	if len(parts) != 5 {
		return fmt.Errorf("session: %s", created)
	}
	_, err = ask(ctx, http.MethodPut, url+"/v1/session/destroy/"+parts[3], "")
	return err
}

// ask sends a request over a connection of its own and returns the body of an answer 200.
func ask(ctx context.Context, method, url, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, url, answer.StatusCode, content)
	}
	return string(content), err
}

// missing is why a test cannot run a service.
const missing = "this is not Linux, or the program is not on the PATH"

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil && runtime.GOOS == "linux"
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }
