package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// Versions of tus-js-client, by their names in package.json.
const (
	oldClient = "tus-js-client-1" // 1.8.0, of 2019
	newClient = "tus-js-client-4" // 4.3.1
)

// jsClients has the last version of each major version.
var jsClients = []string{oldClient, "tus-js-client-2", "tus-js-client-3", newClient}

// parallelClients are the clients that can upload parts of a file in parallel.
var parallelClients = jsClients[1:]

// drafts are the versions of the IETF draft in the new client: interop 5 and 6. It reads
// no interim responses, so it sends no content in a creation by default.
var drafts = []string{"ietf-draft-03", "ietf-draft-05"}

//go:embed testdata/js
var clientFiles embed.FS

// installLimit bounds the installation from npm, clientLimit one upload.
const (
	installLimit = 5 * time.Minute
	clientLimit  = 60 * time.Second
)

// job is the argument of testdata/js/upload.cjs.
type job struct {
	Client  string         `json:"client"`
	File    string         `json:"file"`
	Stream  bool           `json:"stream,omitempty"`
	Buffer  bool           `json:"buffer,omitempty"`
	Options map[string]any `json:"options"`

	env   []string      // added to the client's environment
	pause *clientPause  // nil: the client is not paused
	limit time.Duration // 0: clientLimit
}

// clientPause pauses a client.
type clientPause struct {
	stdin, input *os.File
	paused       chan struct{} // closed when the client has paused, or ended
	once         sync.Once
}

func newClientPause(t *testing.T) *clientPause {
	t.Helper()
	stdin, press, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		press.Close()
	})
	return &clientPause{stdin: stdin, input: press, paused: make(chan struct{})}
}

// pause pauses the client and waits until it has paused. The client resumes by itself.
func (b *clientPause) pause() {
	b.input.WriteString("pause\n")
	<-b.paused
}

func (b *clientPause) markPaused() { b.once.Do(func() { close(b.paused) }) }

// run uploads and returns the upload's URL. The test fails if the client gives up.
func (j job) run(t *testing.T) (url string) {
	t.Helper()
	url, err := j.try(t)
	if err != nil {
		t.Fatalf("%s gave up: %v", j.Client, err)
	}
	return url
}

// try uploads and returns the upload's URL, or an error if the client gives up.
func (j job) try(t *testing.T) (url string, err error) {
	t.Helper()
	argument, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(j.limit, clientLimit))
	defer cancel()
	client := exec.CommandContext(ctx, "node", "upload.cjs", string(argument))
	client.Dir = clientFolder(t)
	client.Env = append(os.Environ(), j.env...)
	var stderr bytes.Buffer
	client.Stderr = &stderr
	if j.pause != nil {
		client.Stdin = j.pause.stdin
		defer j.pause.markPaused()
	}
	url, err = j.follow(client)
	if err != nil {
		err = fmt.Errorf("%w %v\n%s", err, context.Cause(ctx), stderr.Bytes())
	}
	return url, err
}

// follow runs client and returns the last line that it prints.
func (j job) follow(client *exec.Cmd) (last string, err error) {
	stdout, err := client.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := client.Start(); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		last = lines.Text()
		if last == "paused" {
			j.pause.markPaused()
		}
	}
	return last, client.Wait()
}

// clientFolder returns the folder with the installed clients and upload.cjs. Without one
// the test ends.
func clientFolder(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		_, err := exec.LookPath(tool)
		require.Need(t, "node", err == nil, tool+" is not on the PATH")
	}
	folder, err := installedFolder()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	require.Need(t, "node", require.Required("node"),
		"the clients are not installed; TUSD_TEST_REQUIRE=node installs them from npm")
	if err := installClients(t.Context(), folder); err != nil {
		t.Fatalf("installing the clients: %v", err)
	}
	return folder
}

// installedFolder returns the folder for this content of the files, so that a change of
// one of them means a new installation.
func installedFolder() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(clientFiles, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := clientFiles.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	return filepath.Join(cache, "js-"+hex.EncodeToString(sum.Sum(nil)[:8])), err
}

func cacheFolder() (string, error) {
	if cache := os.Getenv("TUSD_TEST_CACHE"); cache != "" {
		return cache, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "tusd-test"), err
}

// installClients creates folder atomically, also if two test runs do so at the same time.
func installClients(ctx context.Context, folder string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o777); err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(folder), "installing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished)
	files, err := fs.Sub(clientFiles, "testdata/js")
	if err != nil {
		return err
	}
	if err := os.CopyFS(unfinished, files); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	for _, step := range []string{"ci --ignore-scripts --no-audit --no-fund", "run bundle"} {
		npm := exec.CommandContext(ctx, "npm", strings.Fields(step)...)
		npm.Dir = unfinished
		if output, err := npm.CombinedOutput(); err != nil {
			return fmt.Errorf("npm %s: %w\n%s", step, err, output)
		}
	}
	err = os.Rename(unfinished, folder)
	if errors.Is(err, fs.ErrExist) {
		return nil // another test run was faster
	}
	return err
}
