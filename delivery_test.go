package tusd

import (
	"net/http"
	"reflect"
	"testing"
)

// Side records have no credentials of clients, wherever those are.
func TestKeptRequest(t *testing.T) {
	d := &Delivery{KeepHeaders: []string{"X-Tenant"}}
	got := d.keptRequest(HTTPRequest{Method: "PATCH", URI: "/files/a?access_token=secret", RemoteAddr: "192.0.2.1:1", Header: http.Header{
		"Host": {"a.example"}, "X-Forwarded-For": {"192.0.2.2"}, "X-Tenant": {"t"}, "Upload-Offset": {"5"}, "Upload-Metadata": {"name YQ=="},
		"Authorization": {"secret"}, "Cookie": {"secret"}, "X-Forwarded-Access-Token": {"secret"}, "X-Forwarded-Client-Cert": {"secret"},
		"Upload-Token": {"secret"}, "Tus-Token": {"secret"}, "Upload-Concat": {"final;/files/a?access_token=secret"}, "X-Api-Key": {"secret"},
	}})
	want := HTTPRequest{Method: "PATCH", URI: "/files/a", RemoteAddr: "192.0.2.1:1", Header: http.Header{
		"Host": {"a.example"}, "X-Forwarded-For": {"192.0.2.2"}, "X-Tenant": {"t"}, "Upload-Offset": {"5"}, "Upload-Metadata": {"name YQ=="},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
