package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

const (
	noRuleWarning = "warning  lifecycle rule for abandoned multipart uploads: the bucket has none"
	ruleFound     = "ok       lifecycle rule for abandoned multipart uploads\n"
)

// The doctor recommends a lifecycle rule if the service says that the bucket has none.
func TestDoctorAsksForLifecycle(t *testing.T) {
	require.Long(t)
	rule := func(inside string) string {
		return `<LifecycleConfiguration><Rule><ID>a</ID>` + inside + `</Rule></LifecycleConfiguration>`
	}
	const abort = `<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>`
	for name, c := range map[string]struct {
		status int
		answer string
		want   string // a line begins with it; "": no line is about it
		args   []string
	}{
		"none":            {http.StatusNotFound, `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`, noRuleWarning, nil},
		"of MinIO":        {http.StatusNotFound, `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`, "", []string{"-s3-profile", "minio"}},
		"no permission":   {http.StatusForbidden, `<Error><Code>AccessDenied</Code></Error>`, "", nil},
		"not implemented": {http.StatusNotImplemented, `<Error><Code>NotImplemented</Code></Error>`, "", nil},
		"no XML":          {http.StatusOK, `{}`, "", nil},
		"all":             {http.StatusOK, rule(`<Status>Enabled</Status><Filter/>` + abort), ruleFound, nil},
		"of the prefix":   {http.StatusOK, rule(`<Status>Enabled</Status><Filter><Prefix>up</Prefix></Filter>` + abort), ruleFound, nil},
		"old form":        {http.StatusOK, rule(`<Status>Enabled</Status><Prefix>up/</Prefix>` + abort), ruleFound, nil},
		"several filters": {http.StatusOK, rule(`<Status>Enabled</Status><Filter><And><Prefix>up/</Prefix><ObjectSizeLessThan>1</ObjectSizeLessThan></And></Filter>` + abort), ruleFound, nil},
		"of another":      {http.StatusOK, rule(`<Status>Enabled</Status><Filter><Prefix>up/below</Prefix></Filter>` + abort), noRuleWarning, nil},
		"disabled":        {http.StatusOK, rule(`<Status>Disabled</Status><Filter/>` + abort), noRuleWarning, nil},
		"another action":  {http.StatusOK, rule(`<Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration>`), noRuleWarning, nil},
		"of a tag":        {http.StatusOK, rule(`<Status>Enabled</Status><Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>` + abort), noRuleWarning, nil},
	} {
		t.Run(name, func(t *testing.T) {
			service := s3server.New(s3server.Options{})
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !r.URL.Query().Has("lifecycle") {
					service.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(c.status)
				io.WriteString(w, c.answer)
			}))
			defer front.Close()
			cleanAWS(t, "AWS_ACCESS_KEY_ID="+service.AccessKey(), "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1")
			args := append([]string{"-s3-bucket", service.Bucket(), "-s3-endpoint", front.URL, "-s3-object-prefix", "up"}, c.args...)
			code, text, stderr := diagnose(t, args...)
			if code != exitOK || strings.Contains(text, "missing ") {
				t.Errorf("exit code %d, %s\n%s", code, stderr, text)
			}
			if found := strings.Contains(text, "lifecycle"); found != (c.want != "") || !strings.Contains(text, c.want) {
				t.Errorf("want %q in\n%s", c.want, text)
			}
		})
	}
}
