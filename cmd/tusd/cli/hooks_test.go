//go:build unix

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook/proto"
	"github.com/tus/tusd/hooks/httphook"
)

// hookFile writes an executable for -hooks-dir.
func hookFile(t *testing.T, dir, event, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, event), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// fieldAnswer is an answer of pre-create that adds a field with this value to the answer of the
// server.
func fieldAnswer(value string) hooks.HookResponse {
	return hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{Header: map[string]string{"X-Hook": value}}}
}

// wantField creates an upload, and compares the field with that of the last hook.
func wantField(t *testing.T, d *testDaemon, want string) {
	t.Helper()
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusCreated, "X-Hook: "+want)
}

// The metrics of hooks are served if there are hooks.
func TestHookMetricsOfTheDaemon(t *testing.T) {
	metrics := func(d *testDaemon) string {
		_, text := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
		return text
	}
	if text := metrics(start(t)); strings.Contains(text, "tusd_hook_") {
		t.Errorf("without hooks: %s", text)
	}
	dir := t.TempDir()
	hookFile(t, dir, "pre-create", "exit 1")
	d := start(t, "-hooks-dir", dir)
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	text := metrics(d)
	for _, want := range []string{
		`tusd_hook_invocations_total{hooktype="pre-create"} 1`, `tusd_hook_errors_total{hooktype="pre-create"} 1`,
		`tusd_hook_invocations_total{hooktype="post-finish"} 0`, `tusd_hook_duration_seconds_count{hook="file",hooktype="pre-create"} 1`,
		"tusd_hook_events_waiting 0",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// Without -hooks-enabled-events, hooks get the five events that they get in tusd v2; with an
// empty one all seven of tusd v2.
func TestEnabledEvents(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "pre-create post-create post-finish post-terminate",
		"-hooks-enabled-events= ": "pre-create post-create pre-finish post-finish pre-terminate post-terminate",
		"-hooks-enabled-events=post-finish, pre-access": "post-finish pre-access",
	} {
		e := newEndpoint(t)
		flags := []string{"-hooks-http", e.URL}
		if args != "" {
			flags = append(flags, args)
		}
		d := start(t, flags...)
		location := tus(t, http.MethodPost, d.url, "hello", "Upload-Length: 5").want(t, http.StatusCreated).header.Get("Location")
		await(t, "the events", func() bool { return strings.Contains(e.all(), "post-finish") })
		tus(t, http.MethodDelete, location, "").want(t, http.StatusNoContent)
		await(t, args+": the events "+want, func() bool { return e.all() == want })
		d.end(t)
		if got := e.all(); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Several hooks are called in the order of -hooks-order, then of the default. In tusd v2 one of
// them is used.
func TestOrderOfHooks(t *testing.T) {
	e := newEndpoint(t)
	e.answer = fieldAnswer("http")
	dir := t.TempDir()
	hookFile(t, dir, "pre-create", `echo '{"HTTPResponse":{"Header":{"X-Hook":"file"}}}'`)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"-hooks-dir", dir, "-hooks-http", e.URL, "-hooks-grpc", serveGRPC(t, grpc.NewServer()), "-hooks-plugin", self}
	wantField(t, start(t, all...), "plugin")
	wantField(t, start(t, append(all, "-hooks-order", "plugin,grpc")...), "http")
	wantField(t, start(t, append(all, "-hooks-order", "plugin, http, file")...), "grpc")
}

// A plugin ends with the daemon.
func TestPluginEndsWithTheDaemon(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, "-hooks-plugin", self)
	answer := tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusCreated)
	pid, err := strconv.Atoi(answer.header.Get("X-Plugin-Process"))
	if err != nil || pid == os.Getpid() {
		t.Fatalf("the plugin is process %d, %v", pid, err)
	}
	await(t, "what the plugin writes", func() bool { return strings.Contains(d.stdout.String(), `text="the plugin is set up"`) })
	if code := d.end(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr.String())
	}
	await(t, "the end of the plugin", func() bool { return syscall.Kill(pid, 0) != nil })
}

// SIGTERM ends a start that waits for a plugin.
func TestPluginThatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	hookFile(t, dir, "plugin", `echo $$ >"$0.pid"; exec sleep 600`)
	p := launch(t, nil, nil, "-host", "127.0.0.1", "-port", "0", "-upload-dir", filepath.Join(dir, "data"), "-hooks-plugin", filepath.Join(dir, "plugin"))
	var pid int
	await(t, "the plugin to run", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "plugin.pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid != 0
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.mustEnd(t, exitOK)
	if !strings.Contains(p.stdout.String(), "shutting down before the start was done") {
		t.Errorf("logged: %s", p.stdout.String())
	}
	await(t, "the end of the plugin", func() bool { return syscall.Kill(pid, 0) != nil })
}

// The flags of TLS are used for calls of an endpoint, which are signed with the secret.
func TestHTTPHookOverTLS(t *testing.T) {
	files := t.TempDir()
	server, client := newPair(t, files, "server"), newPair(t, files, "client")
	secret := filepath.Join(files, "secret")
	writeFile(t, secret, "open sesame\n")
	e := newEndpoint(t)
	e.answer = fieldAnswer("over TLS")
	secure := httptest.NewUnstartedServer(e)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{load(t, server)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(t, client)}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // a call without a certificate is refused
	secure.StartTLS()
	defer secure.Close()
	hook := []string{"-hooks-http", secure.URL, "-hooks-enabled-events", "pre-create", "-hooks-http-retry", "1"}
	pair := []string{"-hooks-http-tls-certificate", client.cert, "-hooks-http-tls-key", client.key}
	for _, trust := range [][]string{{"-hooks-http-tls-ca", server.cert}, {"-hooks-http-skip-verify"}} {
		wantField(t, start(t, append(append(hook, pair...), append(trust, "-hooks-http-secret-file", secret, "-hooks-http-forward-headers", "tus-resumable")...)...), "over TLS")
	}
	for _, call := range e.calls {
		timestamp, signature := call.Header.Get(httphook.TimestampField), call.Header.Get(httphook.SignatureField)
		if want := "sha256=" + httphook.Sign([]byte("open sesame"), timestamp, e.contents[call]); signature != want || timestamp == "" {
			t.Errorf("signed %q at %q, want %s", signature, timestamp, want)
		}
		if call.Header.Get("Tus-Resumable") != "1.0.0" {
			t.Errorf("the field that is to be forwarded is missing: %v", call.Header)
		}
	}
	for _, wrong := range [][]string{pair, {"-hooks-http-tls-ca", server.cert}} {
		d := start(t, append(hook, wrong...)...)
		tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	}
}

// The flags of TLS are used for calls of a gRPC service.
func TestGRPCHookOverTLS(t *testing.T) {
	files := t.TempDir()
	server, client := newPair(t, files, "server"), newPair(t, files, "client")
	target := serveGRPC(t, grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{load(t, server)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(t, client),
	}))))
	hook := []string{"-hooks-grpc", target, "-hooks-grpc-retry", "1", "-hooks-grpc-timeout", "20s"}
	secure := append(hook, "-hooks-grpc-secure", "-hooks-grpc-server-tls-certificate", server.cert)
	wantField(t, start(t, append(secure, "-hooks-grpc-client-tls-certificate", client.cert, "-hooks-grpc-client-tls-key", client.key)...), "grpc")
	for _, wrong := range [][]string{hook, secure} {
		d := start(t, wrong...)
		tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	}
}

// A hook that cannot be set up ends the start with a sentence that names it.
func TestHooksThatCannotBeSetUp(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for args, want := range map[string]string{
		"-hooks-dir " + missing:                              "tusd: hooks: file: stat " + missing + ": no such file or directory",
		"-hooks-plugin " + missing:                           "tusd: hooks: plugin: ",
		"-hooks-grpc h:1 -hooks-grpc-forward-headers grpc-x": "tusd: hooks: grpc: ",
	} {
		flags := append(strings.Fields(args), "-host", "127.0.0.1", "-port", "0", "-upload-dir", filepath.Join(dir, "data"))
		wantCommand(t, exitFailed, want, flags...)
	}
}

// What a failed executable has printed is in the log, and never in the answer to a client.
func TestOutputOfAFailedHook(t *testing.T) {
	dir := t.TempDir()
	hookFile(t, dir, "pre-create", "echo no quota service; exit 3")
	d := start(t, "-hooks-dir", dir)
	a := tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	if strings.Contains(a.body, "quota") || strings.Contains(fmt.Sprint(a.header), "quota") {
		t.Errorf("the client gets %q %q", a.header, a.body)
	}
	const want = `exit status 3, its output: \"no quota service\"`
	await(t, want, func() bool { return strings.Contains(d.stdout.String(), want) })
}

// Files in -hooks-dir that have no effect, or that always fail, are warned of at the start.
func TestWarningsOfHookFiles(t *testing.T) {
	dir := t.TempDir()
	hookFile(t, dir, "pre-finish", "")
	hookFile(t, dir, "post-create", "")
	writeFile(t, filepath.Join(dir, "post-finish"), "#!/bin/sh\n")
	if err := os.Symlink("missing", filepath.Join(dir, "pre-create")); err != nil {
		t.Fatal(err)
	}
	d := start(t, "-hooks-dir", dir)
	for _, want := range []string{
		"Hooks (file) get pre-create, post-create, post-receive, post-finish, post-terminate\n",
		`level=WARN msg="a hook is never called: -hooks-enabled-events lacks its event" file=` + filepath.Join(dir, "pre-finish"),
		`level=WARN msg="a hook fails whenever it is called: its file is not executable" file=` + filepath.Join(dir, "post-finish"),
		`level=WARN msg="a hook fails whenever it is called: its file is a broken symbolic link" file=` + filepath.Join(dir, "pre-create"),
	} {
		await(t, want, func() bool { return strings.Contains(d.stdout.String(), want) })
	}
	if strings.Contains(d.stdout.String(), filepath.Join(dir, "post-create")) {
		t.Errorf("a file that can be used is warned of: %s", d.stdout.String())
	}
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	_, report, _ := diagnose(t, "-hooks-dir", dir, "-hooks-plugin", filepath.Join(dir, "post-finish"), "-upload-dir", t.TempDir())
	for _, want := range []string{
		"ok       hooks in " + dir, "warning  hook " + filepath.Join(dir, "pre-finish") + ": a hook is never called",
		"warning  hook " + filepath.Join(dir, "pre-create") + ": a hook fails whenever it is called: its file is a broken symbolic link", "missing  plugin " + filepath.Join(dir, "post-finish") + ": ",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("tusd doctor reports no %q: %s", want, report)
		}
	}
}

// The next process delivers the events of one that was killed, without the credentials of their
// requests.
func TestEventsOfAKilledProcess(t *testing.T) {
	e := newEndpoint(t)
	e.failing.Store(true)
	args := []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir(), "-hooks-http", e.URL, "-hooks-enabled-events", "post-create,post-finish,post-terminate", "-hooks-keep-headers", "X-Tenant"}
	p := launch(t, nil, nil, args...)
	location := tus(t, http.MethodPost, p.url(t), "hello", "Upload-Length: 5", "Authorization: Bearer secret", "X-Tenant: blue", "X-Other: red").want(t, http.StatusCreated).header.Get("Location")
	id := location[strings.LastIndex(location, "/")+1:]
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	e.failing.Store(false)
	p = launch(t, nil, nil, args...)
	await(t, "the events", func() bool { return e.types(id) == "post-create post-finish" })
	for _, message := range e.got {
		header := message.Event.HTTPRequest.Header
		if header["Authorization"] != nil || header["X-Other"] != nil || fmt.Sprint(header["X-Tenant"]) != "[blue]" || message.Event.ID == "" {
			t.Errorf("%s: %+v", message.Type, message.Event)
		}
	}
	tus(t, http.MethodDelete, p.url(t)+id, "").want(t, http.StatusNoContent)
	await(t, "the last event", func() bool { return e.types(id) == "post-create post-finish post-terminate" })
}

// best-effort stores nothing of events.
func TestBestEffortDelivery(t *testing.T) {
	e := newEndpoint(t)
	e.failing.Store(true)
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir, "-hooks-http", e.URL, "-hooks-enabled-events", "post-create", "-hooks-http-retry", "1", "-hooks-delivery", "best-effort")
	create(t, http.DefaultClient, d.url, "5")
	await(t, "the event to be lost", func() bool { return strings.Contains(d.stdout.String(), "an event is lost") })
	if lines := listedEvents(t, "-upload-dir", dir); len(lines) > 0 {
		t.Errorf("kept: %+v", lines)
	}
}

// testPlugin is the plugin that the test binary is, see TestMain.
type testPlugin struct{}

func (testPlugin) Setup() error {
	fmt.Fprintln(os.Stderr, "the plugin is set up")
	return nil
}

func (testPlugin) InvokeHook(r hooks.HookRequest) (response hooks.HookResponse, err error) {
	if r.Type == tusd.EventPreCreate {
		response = fieldAnswer("plugin")
		response.HTTPResponse.Header["X-Plugin-Process"] = strconv.Itoa(os.Getpid())
	}
	return response, nil
}

// testService is a gRPC service that is a hook.
type testService struct {
	proto.UnimplementedHookHandlerServer
}

func (testService) InvokeHook(context.Context, *proto.HookRequest) (*proto.HookResponse, error) {
	return &proto.HookResponse{HttpResponse: &proto.HTTPResponse{Header: map[string]string{"X-Hook": "grpc"}}}, nil
}

// serveGRPC serves testService until the test ends, and returns its address.
func serveGRPC(t *testing.T, server *grpc.Server) string {
	t.Helper()
	proto.RegisterHookHandlerServer(server, testService{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func load(t *testing.T, p pair) tls.Certificate {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func pool(t *testing.T, p pair) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	certificates := x509.NewCertPool()
	certificates.AppendCertsFromPEM(text)
	return certificates
}
