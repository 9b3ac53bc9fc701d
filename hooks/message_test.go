package hooks

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// The fields of tusd v2 have the names, the order and the forms that it writes. What is ours
// stands behind them.
func TestGoldenMessages(t *testing.T) {
	created := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	info := tusd.FileInfo{
		ID: "24e533e02ec3bc40c387f1a0e460e216", Size: 11, Offset: 11, MetaData: tusd.MetaData{"filename": "hello.txt"},
		Storage: map[string]string{"Type": "filestore", "Path": "/d/24e5", "InfoPath": "/d/24e5.info"}, Created: created, State: tusd.StateComplete,
		RawMetaData: "filename aGVsbG8udHh0", Digests: []tusd.Digest{{Algorithm: "sha-256", State: []byte("secret")}}, Owner: "alice",
	}
	request := tusd.HTTPRequest{Method: "PATCH", URI: "/files/24e5", RemoteAddr: "192.0.2.1:1234", Header: http.Header{"Host": {"a.example"}, "Tus-Resumable": {"1.0.0"}}}
	for name, c := range map[string]struct {
		event tusd.Event
		want  string
	}{
		"pre-create": {
			tusd.Event{Type: tusd.EventPreCreate, Upload: tusd.FileInfo{Size: 11}, HTTPRequest: tusd.HTTPRequest{Method: "POST", URI: "/files/", RemoteAddr: "[2001:db8::1]:1"}},
			`{"Type":"pre-create","Event":{"Upload":{"ID":"","Size":11,"SizeIsDeferred":false,"Offset":0,"MetaData":{},"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{}},` +
				`"HTTPRequest":{"Method":"POST","URI":"/files/","RemoteAddr":"[2001:db8::1]:1","Header":{}}}}`,
		},
		"post-finish": {
			tusd.Event{Type: tusd.EventPostFinish, ID: "e1", Sequence: 2, Time: created, Attempt: 3, Upload: info, HTTPRequest: request},
			`{"Type":"post-finish","Event":{"Upload":{"ID":"24e533e02ec3bc40c387f1a0e460e216","Size":11,"SizeIsDeferred":false,"Offset":11,"MetaData":{"filename":"hello.txt"},` +
				`"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{"InfoPath":"/d/24e5.info","Path":"/d/24e5","Type":"filestore"},"Owner":"alice"},` +
				`"HTTPRequest":{"Method":"PATCH","URI":"/files/24e5","RemoteAddr":"192.0.2.1:1234","Header":{"Host":["a.example"],"Tus-Resumable":["1.0.0"]}},` +
				`"ID":"e1","Sequence":2,"Time":"2026-11-30T12:00:00Z","Attempt":3}}`,
		},
		"announced length": {
			tusd.Event{Type: tusd.EventPreCreate, Upload: tusd.FileInfo{SizeIsDeferred: true, KnownLength: new(int64(11))}},
			`{"Type":"pre-create","Event":{"Upload":{"ID":"","Size":11,"SizeIsDeferred":false,"Offset":0,"MetaData":{},"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{}},` +
				`"HTTPRequest":{"Method":"","URI":"","RemoteAddr":"","Header":{}}}}`,
		},
		"final without a request": {
			tusd.Event{Type: tusd.EventPostExpire, ID: "e2", Sequence: 3, Reason: tusd.RemovedExpired, Upload: tusd.FileInfo{ID: "a", SizeIsDeferred: true, IsFinal: true, PartialUploads: []string{"b", "c"}}},
			`{"Type":"post-expire","Event":{"Upload":{"ID":"a","Size":0,"SizeIsDeferred":true,"Offset":0,"MetaData":{},"IsPartial":false,"IsFinal":true,"PartialUploads":["b","c"],"Storage":{}},` +
				`"HTTPRequest":{"Method":"","URI":"","RemoteAddr":"","Header":{}},"ID":"e2","Sequence":3,"Reason":"expired"}}`,
		},
	} {
		got, err := json.Marshal(newRequest(c.event))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, c.want)
		}
	}
}

func TestParseResponse(t *testing.T) {
	for answer, want := range map[string]HookResponse{
		"":     {},
		" \n":  {},
		"{}":   {},
		"null": {},
		`{"HTTPResponse":{"StatusCode":413,"Body":"no","Header":{"X":"y"}},"RejectUpload":true,"Other":1}`: {
			HTTPResponse: HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X": "y"}}, RejectUpload: true,
		},
		`{"ChangeFileInfo":{"ID":"a","MetaData":{},"Storage":{"Path":"p"}}}`: {
			ChangeFileInfo: FileInfoChanges{ID: "a", MetaData: map[string]string{}, Storage: map[string]string{"Path": "p"}},
		},
		`{"StopUpload":true,"RejectTermination":true,"RejectAccess":true,"AllowSeconds":60}`: {
			StopUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60,
		},
	} {
		if got, err := ParseResponse([]byte(answer)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
	for _, answer := range []string{"hello", "[]", `{"RejectUpload":"yes"}`, "{} {}"} {
		if _, err := ParseResponse([]byte(answer)); err == nil {
			t.Errorf("%s is an answer", answer)
		}
	}
}
