package cli

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// otherFlags are the flags that neither the handler nor the store nor the server of
// net/http receives. They have tests of their own.
const otherFlags = `config version pid-file host port unix-sock unix-sock-mode unix-sock-group tls-certificate tls-key tls-mode
	enable-experimental-protocol
	expose-metrics metrics-path expose-pprof pprof-path pprof-block-profile-rate pprof-mutex-profile-rate admin-listen
	show-greeting readyz-strict verbose log-format show-startup-logs max-connections-per-client shutdown-timeout
	hooks-http-skip-verify hooks-http-secret-file hooks-http-tls-ca hooks-http-tls-certificate hooks-http-tls-key
	hooks-grpc-secure hooks-grpc-server-tls-certificate hooks-grpc-client-tls-certificate hooks-grpc-client-tls-key
	s3-disable-content-hashes s3-log-api-calls s3-max-buffered-parts s3-start-timeout s3-redirect-lifetime locker`

// Each setting is passed to the handler, the store, the locker or net/http. The flags of
// lock services have tests of their own.
func TestEveryFlagIsPassedOn(t *testing.T) {
	preset := passedOn(t)
	for name, value := range otherValues {
		if passes := passedOn(t, "-"+name+"="+value) != preset; passes == (contains(otherFlags, name) || ofLockService(name)) {
			t.Errorf("-%s=%s: the settings that are passed on change: %t", name, value, passes)
		}
	}
}

func contains(names, name string) bool {
	for n := range strings.FieldsSeq(names) {
		if n == name {
			return true
		}
	}
	return false
}

// passedOn returns the settings of the handler, the store and net/http as text.
func passedOn(t *testing.T, args ...string) string {
	t.Helper()
	cfg, _ := parse(args...) // conflicts of flags are ignored here
	files, err := cfg.files().open(quiet)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := settingsOf[*fileLockerSettings](cfg.lockers).open(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	handler := handlerConfig(cfg, nil, nil)
	rules, store, locker := *handler.CORS, files.(*fileStorage).store, locks.(fileLocker)
	handler.CORS = nil
	server := newServer(cfg, nil, quiet)
	policy := fmt.Sprintf("%v %+v", cfg.housekeeping.sweepInterval, cfg.sweepPolicy())
	if limits := cfg.housekeeping; limits.storeSize == 0 { // the limits of a store that has one
		limits.storeSize = 1
		limited := limits.limit(tusd.NewStoreComposer(), quiet)
		policy += fmt.Sprintf("%v %v %v", limited.Policy, limited.OwnerQuota, limited.OwnerMaxUpload)
	}
	bucket := newS3Store(*cfg.s3(), nil)
	inBucket := fmt.Sprintf("%t %s %s %+v %d %d %d %d %s %+v %v %+v", bucket.SweepMultipart, bucket.Bucket, bucket.ObjectPrefix, bucket.Profile, bucket.PreferredPartSize,
		bucket.MinPartSize, bucket.BufferMemory, bucket.ConcurrentParts, bucket.Key, bucket.Object, bucket.RedirectDownloads, cfg.s3().connection)
	return inBucket + policy + passedToHooks(t, cfg.hooks) + fmt.Sprintf("%+v %+v %v %v %d %v %q %v %v %v %v %v %v %v %d %v", handler, rules,
		store.Path, store.Durability, store.MinFree, store.StorageRoots, store.FileKey, store.DirPerm, store.FilePerm,
		locker.HolderPollInterval, locker.AcquirerPollInterval, locker.Path,
		server.ReadHeaderTimeout, server.IdleTimeout, server.MaxHeaderBytes, server.Protocols)
}

// passedToHooks returns the settings of the hooks as text, also of those that are not used.
func passedToHooks(t *testing.T, s hookSettings) string {
	t.Helper()
	s.grpc.secure, s.http.secretFile = false, "" // they would read files
	var text strings.Builder
	for _, transport := range s.transports() {
		hook, err := transport.open(s, quiet)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%+v", hook)
	}
	s.file.dir, s.http, s.grpc, s.plugin.path = "d", httpHookSettings{url: "u"}, grpcHookSettings{target: "t"}, "p"
	config, err := s.config(quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i, hook := range config.Hooks {
		config.Hooks[i] = nil
		text.WriteString(hook.Name())
	}
	fmt.Fprintf(&text, "%+v", config)
	return text.String()
}

// A client's file name that makes a reserved name is refused with 400.
func TestFileKeyAndNameOfTheRecord(t *testing.T) {
	d := start(t, "-file-key", "{id}.{filename}")
	for name, status := range map[string]int{"info": http.StatusBadRequest, "INFO": http.StatusBadRequest, "lock": http.StatusBadRequest, "info.txt": http.StatusCreated} {
		answer := tus(t, http.MethodPost, d.url, "", "Upload-Length: 1", "Upload-Metadata: filename "+base64.StdEncoding.EncodeToString([]byte(name)))
		answer.want(t, status)
		if status != http.StatusCreated && !strings.HasPrefix(answer.body, "ERR_INVALID_UPLOAD_NAME: ") {
			t.Errorf("%s: %q", name, answer.body)
		}
	}
	if out := d.stdout.String(); strings.Contains(out, "level=ERROR") {
		t.Errorf("logged: %s", out)
	}
}
