//go:build linux

package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/s3services"
)

// Root may read the directory of another user's server, and changes it only as that user.
func TestCommandsOfRoot(t *testing.T) {
	p := newUserFolder(t)
	refused := func(why string) {
		t.Helper()
		wantCommand(t, exitOK, "STATE", "ls", "-upload-dir", p.uploads)
		for _, args := range [][]string{{"rm", "x"}, {"sweep"}, {"sweep", "-locker", "memory"}} {
			want := "who cannot use what root makes there: run it as that user (sudo -u '#63101' tusd " + args[0] + " ...), or add -as 63101"
			if stdout := wantCommand(t, exitFailed, want, append(args, "-upload-dir", p.uploads)...); stdout != "" {
				t.Errorf("%s: %q prints %s", why, args, stdout)
			}
		}
	}
	refused("a directory that no server has used")
	if made, err := os.ReadDir(p.uploads); err != nil || len(made) > 0 {
		t.Errorf("made: %v, %v", made, err)
	}
	p.file(t, "uploads/.tusd.locks", serverUser, 0o600)
	refused("the directory of a server")
	p.give(t, "uploads", 0, 0o777)
	refused("a directory of root with the locks of a server")
	p.give(t, "uploads", serverUser, 0o755)
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	code := Run(ctx, []string{"rm", "x", "-as", "63101", "-upload-dir", p.uploads}, []string{asTusd + "=1"}, &out, &errs)
	if code != exitFailed || errs.String() != "tusd: x: there is no such upload\n" {
		t.Errorf("as the server's user: exit code %d, %s%s", code, &out, &errs)
	}
	if found, err := filepath.Glob(filepath.Join(p.uploads, ".tusd.d")); err != nil || len(found) > 0 {
		t.Errorf("left: %q, %v", found, err)
	}
	code = Run(ctx, []string{"hooks", "replay", "-dead", "-as", "63101", "-upload-dir", p.uploads}, []string{asTusd + "=1"}, &out, &errs)
	if code != exitOK {
		t.Errorf("tusd hooks as the server's user: exit code %d, %s%s", code, &out, &errs)
	}
	wantCommand(t, exitFailed, "sudo -u '#63101' tusd hooks replay ...), or add -as 63101", "hooks", "replay", "-dead", "-upload-dir", p.uploads)
	p.give(t, "uploads/.tusd.locks", 0, 0o600)
	wantCommand(t, exitOK, "removed", "sweep", "-upload-dir", p.uploads) // of a server that runs as root
}

// The commands work on real services. Those that change uploads are refused beside other
// processes.
func TestCommandsOnServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, service *s3services.Service) {
		cleanAWS(t, "AWS_ACCESS_KEY_ID="+service.AccessKey, "AWS_SECRET_ACCESS_KEY="+service.SecretKey, "AWS_REGION="+service.Region)
		bucket := []string{"-s3-bucket", service.NewBucket(t), "-s3-endpoint", service.Endpoint}
		d := startWith(t, append([]string{"-host", "127.0.0.1", "-port", "0"}, bucket...))
		id := strings.TrimPrefix(tus(t, http.MethodPost, d.url, "hello", "Upload-Length: 5").want(t, http.StatusCreated).header.Get("Location"), d.url)
		half := strings.TrimPrefix(create(t, http.DefaultClient, d.url, "6"), d.url)
		on := func(args ...string) []string { return append(args, bucket...) }
		for class, want := range map[string]string{"complete": id, "never-started": half} {
			listed := wantCommand(t, exitOK, fmt.Sprintf(`{"id":%q,"state":%q`, want, class), on("ls", "-json", "-class", class)...)
			if strings.Count(listed, "\n") != 1 {
				t.Errorf("class %s: %s", class, listed)
			}
		}
		wantCommand(t, exitOK, "2 uploads verified, 0 with faults", on("verify")...)
		wantCommand(t, exitUsage, "rm is refused with -s3-bucket", on("rm", id)...)
		d.end(t)
		wantCommand(t, exitOK, "removed "+id, on("rm", "-only-process", id, half)...)
		if listed := wantCommand(t, exitOK, "", on("ls", "-json")...); listed != "" {
			t.Errorf("left: %s", listed)
		}
	})
}
