package s3server_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

func TestSignature(t *testing.T) {
	c := start(t, s3server.Quirks{})
	unknown := &client{newS3(t, c.server, "other"), t, c.server}
	_, err := unknown.put("a", nil)
	wantCode(t, err, http.StatusForbidden, "InvalidAccessKeyId")
	if calls := c.server.Calls(); len(calls) > 0 {
		t.Errorf("calls with another access key are counted: %v", calls)
	}
	wantStatus(t, c.server.URL+"/bucket/a", http.StatusForbidden, "AccessDenied")
	_, _, err = c.get("a")
	wantCode(t, err, http.StatusNotFound, "NoSuchKey")
}

func TestSkewedClock(t *testing.T) {
	c := startWith(t, s3server.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	_, err := c.put("a", nil)
	wantCode(t, err, http.StatusForbidden, "RequestTimeTooSkewed")
}

func TestPresigned(t *testing.T) {
	var later atomic.Int64 // nanoseconds that the server's clock is ahead
	c := startWith(t, s3server.Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	c.server.Put("a b", []byte("content"))
	signed, _ := c.GetObjectRequest(&s3.GetObjectInput{
		Bucket: c.bucket(), Key: aws.String("a b"), ResponseContentDisposition: aws.String(`attachment; filename="x"`),
		ResponseContentType: aws.String("text/x"),
	})
	address, err := signed.Presign(time.Hour)
	mustSucceed(t, err)

	answer := wantStatus(t, address, http.StatusOK, "content")
	if d, ct := answer.Get("Content-Disposition"), answer.Get("Content-Type"); d != `attachment; filename="x"` || ct != "text/x" {
		t.Errorf("disposition %s, type %s", d, ct)
	}
	later.Store(int64(59 * time.Minute))
	wantStatus(t, address, http.StatusOK, "content")
	later.Store(int64(61 * time.Minute))
	wantStatus(t, address, http.StatusForbidden, "AccessDenied")
	later.Store(0)
	wantStatus(t, changed(t, address, "X-Amz-Credential", "other/20261122/r/s3/aws4_request"), http.StatusForbidden, "InvalidAccessKeyId")
	wantStatus(t, changed(t, address, "X-Amz-Credential", "other"), http.StatusBadRequest, "AuthorizationHeaderMalformed")
	wantStatus(t, changed(t, address, "X-Amz-Expires", "604801"), http.StatusBadRequest, "AuthorizationQueryParametersError")
	wantStatus(t, changed(t, address, "X-Amz-Signature", ""), http.StatusBadRequest, "AuthorizationQueryParametersError")
}

// changed returns an address with one parameter set.
func changed(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	mustSucceed(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// wantStatus sends a GET without the SDK, and checks the answer.
func wantStatus(t *testing.T, address string, status int, contains string) http.Header {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	mustSucceed(t, err)
	answer, err := http.DefaultClient.Do(request)
	mustSucceed(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	mustSucceed(t, err)
	if answer.StatusCode != status || !strings.Contains(string(body), contains) {
		t.Errorf("%d %s, want %d %s", answer.StatusCode, body, status, contains)
	}
	return answer.Header
}
