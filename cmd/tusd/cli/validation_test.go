package cli

import (
	"strings"
	"testing"
)

func TestConflictingFlags(t *testing.T) {
	const valid = "" // no conflict
	for args, want := range map[string]string{
		"-disable-ietf -enable-experimental-protocol":              "-disable-ietf and -enable-experimental-protocol exclude each other",
		"-max-append-size 10 -min-append-size 11":                  "-min-append-size is larger than -max-append-size",
		"-max-size 10 -min-append-size 11":                         "-min-append-size is larger than -max-size",
		"-max-header-size 2000 -max-metadata-size 2001":            "-max-metadata-size is larger than -max-header-size",
		"-tls-certificate c":                                       "-tls-certificate needs -tls-key",
		"-tls-key k":                                               "-tls-key needs -tls-certificate",
		"-tls-mode tls13":                                          "-tls-mode needs -tls-certificate",
		"-tls-certificate c -tls-key k -enable-h2c":                "-enable-h2c and -tls-certificate exclude each other",
		"-tls-certificate c -tls-key k -tls-mode tls13":            valid,
		"-unix-sock s -host h":                                     "-unix-sock and -host exclude each other",
		"-unix-sock s -port 8080":                                  "-unix-sock and -port exclude each other",
		"-unix-sock-mode 660":                                      "-unix-sock-mode needs -unix-sock",
		"-unix-sock-group 0":                                       "-unix-sock-group needs -unix-sock",
		"-unix-sock s -unix-sock-mode 660 -unix-sock-group 0":      valid,
		"-unix-sock s -enable-h2c":                                 valid,
		"-behind-proxy -trusted-proxies none":                      "-behind-proxy and -trusted-proxies exclude each other",
		"-disable-cors -cors-allow-origin x":                       "-disable-cors and -cors-allow-origin exclude each other",
		"-disable-cors -cors-max-age 1":                            "-disable-cors and -cors-max-age exclude each other",
		"-disable-cors":                                            valid,
		"-cors-origins https://a.example -cors-allow-origin .*":    "-cors-origins and -cors-allow-origin exclude each other",
		"-metrics-path /files":                                     "-base-path and -metrics-path are the same path",
		"-metrics-path /x/ -expose-pprof -pprof-path /x":           "-metrics-path and -pprof-path are the same path",
		"-metrics-path /healthz":                                   "/healthz, a health check, and -metrics-path are the same path",
		"-expose-pprof -pprof-path /readyz":                        "/readyz, a health check, and -pprof-path are the same path",
		"-base-path /readyz":                                       "-base-path and /readyz, a health check, are the same path",
		"-base-path /healthz -admin-listen :9090":                  valid,
		"-base-path /":                                             valid,
		"-base-path /debug":                                        valid,
		"-expose-pprof -base-path /debug/pprof/up":                 "one of -base-path and -pprof-path is below the other",
		"-expose-pprof -metrics-path /debug/":                      "one of -metrics-path and -pprof-path is below the other",
		"-expose-metrics=false -expose-pprof -pprof-path /metrics": valid,
		"-metrics-path /x -pprof-path /x":                          valid,
		"-metrics-path /files -admin-listen :9090":                 valid,
		"-metrics-path /files -expose-metrics=false":               valid,
		"-s3-part-size 10000000":                                   "-s3-part-size needs -s3-bucket",
		"-s3-metadata-keys a":                                      "-s3-metadata-keys needs -s3-bucket",
		"-s3-bucket b":                                             valid,
		"-s3-bucket b -upload-dir d":                               "-s3-bucket and -upload-dir exclude each other",
		"-s3-bucket b -durability none":                            "-s3-bucket and -durability exclude each other",
		"-s3-bucket b -filelock-holder-poll-interval 1s":           "-s3-bucket and -filelock-holder-poll-interval exclude each other",
		"-locker memory":                                           valid,
		"-locker file":                                             valid,
		"-locker memory -filelock-holder-poll-interval 1s":         "-filelock-holder-poll-interval needs -locker file",
		"-s3-bucket b -locker memory":                              valid,
		"-s3-bucket b -locker file":                                "-locker must be memory, redis, consul or etcd with -s3-bucket: the locks of file do not protect uploads there",
		"-s3-bucket b -s3-endpoint e -s3-transfer-acceleration":    "-s3-transfer-acceleration and -s3-endpoint exclude each other",
		"-s3-bucket b -s3-part-size 5000000":                       "-s3-min-part-size is larger than -s3-part-size",
		"-s3-bucket b -s3-buffer-memory 67108864":                  valid,
		"-s3-bucket b -s3-part-size 67108865":                      "-s3-part-size is larger than a quarter of -s3-buffer-memory",
		"-s3-bucket b -s3-sse-kms-key k":                           "-s3-sse-kms-key needs -s3-sse aws:kms",
		"-s3-bucket b -s3-sse-kms-key k -s3-sse aws:kms":           valid,
		"-s3-bucket b -s3-redirect-downloads -disable-download":    "-s3-redirect-downloads and -disable-download exclude each other",
		"-s3-bucket b -s3-log-api-calls":                           valid,
		"-s3-bucket b -s3-log-api-calls -verbose=false":            "-s3-log-api-calls needs -verbose",
		"-sweep-unfinished 7d":                                     "-sweep-unfinished needs -sweep-interval",
		"-sweep-unfinished 0":                                      valid,
		"-sweep-dry-run":                                           "-sweep-dry-run needs -sweep-interval",
		"-sweep-rate 5":                                            "-sweep-rate needs -sweep-interval",
		"-sweep-interval 1h":                                       valid,
		"-sweep-interval 1h -sweep-unfinished 1h -locker memory":   valid,
		"-sweep-interval 1h -sweep-unfinished 23h -s3-bucket b":    "-sweep-unfinished must be 0 or at least 24h: the locks are in the memory of each process, so other processes do not see them",
		"-sweep-interval 1h -sweep-unfinished 24h -s3-bucket b":    valid,
		"-expire-after 1h -s3-bucket b":                            valid,
		"-s3-bucket b -s3-sweep-multipart":                         "-s3-sweep-multipart needs -sweep-interval",
		"-s3-bucket b -s3-sweep-multipart -sweep-interval 1h":      valid,
		"-hooks-enabled-events post-finish":                        valid,
		"-hooks-enabled-events=":                                   valid,
		"-hooks-enabled-events post-finished":                      "invalid value for flag -hooks-enabled-events: must be a list of pre-access, post-expire, pre-create, post-create, post-receive, pre-finish, post-finish, pre-terminate or post-terminate, separated by commas",
		"-hooks-dir d -hooks-http http://h -hooks-grpc h:1 -hooks-plugin p -hooks-order plugin": valid,
		"-hooks-order http,file,http":                                                 "-hooks-order names http twice",
		"-hooks-order https":                                                          "invalid value for flag -hooks-order: number 1 of the list must be file, http, grpc or plugin",
		"-hooks-file-timeout 1s":                                                      "-hooks-file-timeout needs -hooks-dir",
		"-hooks-plugin-timeout 1s":                                                    "-hooks-plugin-timeout needs -hooks-plugin",
		"-hooks-http-attempt-timeout 1s":                                              "-hooks-http-attempt-timeout needs -hooks-http",
		"-hooks-http-secret-file f":                                                   "-hooks-http-secret-file needs -hooks-http",
		"-hooks-http http://h -hooks-http-secret-file /none":                          "-hooks-http-secret-file: open /none: no such file or directory",
		"-hooks-http-tls-ca f":                                                        "-hooks-http-tls-ca needs -hooks-http",
		"-hooks-http http://h -hooks-http-tls-ca f":                                   "-hooks-http-tls-ca needs an https:// URL in -hooks-http",
		"-hooks-http https://h -hooks-http-tls-ca /none":                              "-hooks-http-tls-ca: open /none: no such file or directory",
		"-hooks-http https://h -hooks-http-tls-key k":                                 "-hooks-http-tls-certificate and -hooks-http-tls-key need each other",
		"-hooks-http https://h -hooks-http-tls-ca f -hooks-http-skip-verify":          "-hooks-http-skip-verify and -hooks-http-tls-ca exclude each other",
		"-hooks-http https://h -hooks-http-skip-verify":                               valid,
		"-hooks-http h:80":                                                            "invalid value for flag -hooks-http: must be a URL like https://host/path",
		"-hooks-http=":                                                                valid,
		"-hooks-grpc https://h":                                                       "invalid value for flag -hooks-grpc: must be host:port, and no URL of HTTP; -hooks-grpc-secure is for TLS",
		"-hooks-grpc-timeout 1s":                                                      "-hooks-grpc-timeout needs -hooks-grpc",
		"-hooks-grpc h:1 -hooks-grpc-secure":                                          "-hooks-grpc-secure needs -hooks-grpc-server-tls-certificate",
		"-hooks-grpc h:1 -hooks-grpc-server-tls-certificate c":                        "-hooks-grpc-server-tls-certificate needs -hooks-grpc-secure",
		"-hooks-grpc h:1 -hooks-grpc-client-tls-key k":                                "-hooks-grpc-client-tls-key needs -hooks-grpc-secure",
		"-hooks-grpc h:1 -hooks-grpc-secure -hooks-grpc-server-tls-certificate /none": "-hooks-grpc-server-tls-certificate: open /none: no such file or directory",
		"-hooks-keep-headers X-A,cookie":                                              "invalid value for flag -hooks-keep-headers: number 2 of the list may have credentials, which are never kept",
		"-hooks-http-forward-headers X-A,X:B":                                         "invalid value for flag -hooks-http-forward-headers: number 2 of the list must be the name of a header, like X-Tenant",
		"-hooks-http-forward-headers=":                                                valid,
		"-hooks-delivery once":                                                        "invalid value for flag -hooks-delivery: must be at-least-once or best-effort",
		"-hooks-http-timeout 0":                                                       "invalid value for flag -hooks-http-timeout: is too short: it must be at least 1ms",
		"-store-size 1G":                                                              valid,
		"-store-policy unfinished":                                                    "-store-policy needs -store-size",
		"-owner-quota 1G -owner-metadata who":                                         "-owner-quota needs -store-size",
		"-owner-quota 1G -store-size 5G":                                              "-owner-quota needs -owner-metadata",
		"-owner-max-upload 1G -store-size 5G":                                         "-owner-max-upload needs -owner-metadata",
		"-owner-max-upload 1G -store-size 5G -owner-metadata who":                     valid,
	} {
		_, err := parse(strings.Fields(args)...)
		if (err == nil) != (want == valid) || err != nil && err.Error() != want {
			t.Errorf("%s: %v; want %q", args, err, want)
		}
	}
}

// The form of the password is validated before the start.
func TestPprofAuthForm(t *testing.T) {
	for auth, good := range map[string]bool{"": true, "a:b": true, "a:b:c": true, ":": false, "s3cret": false, ":s3cret": false, "s3cret:": false} {
		_, err := readConfig([]string{"-expose-pprof"}, environment{"TUSD_PPROF_AUTH": auth})
		if (err == nil) != good || err != nil && (!strings.Contains(err.Error(), "TUSD_PPROF_AUTH") || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%q: %v", auth, err)
		}
	}
}
