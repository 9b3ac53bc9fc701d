package tusd

import "testing"

func TestProtocolFields(t *testing.T) {
	for name, want := range map[string]bool{
		"upload-offset": true, "Tus-Resumable": true, "access-control-allow-origin": true, "X-Request-ID": true, "Location": true,
		"Content-Range": true, "content-encoding": true, "Content-Length": true, "Upgrade": true, "Keep-Alive": true, "Connection": true,
		"Proxy-Authenticate": true, "Proxy-Connection": true, "TE": true, "Transfer-Encoding": true, "Date": true, "Repr-Digest": true,
		"Retry-After": false, "Content-Type": false, "WWW-Authenticate": false, "Set-Cookie": false, "X-Mine": false,
	} {
		if got := isProtocolField(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
