package hooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/httphook"
	"github.com/tus/tusd/storetest"
)

// Tell an HTTP endpoint of uploads. A type with the four methods of Hook would do as well.
func ExampleNewHandler() {
	arrived := make(chan hooks.HookRequest, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message hooks.HookRequest
		json.NewDecoder(r.Body).Decode(&message)
		arrived <- message // an empty answer: go on
	}))
	defer endpoint.Close()
	ctx, url, secret := context.Background(), endpoint.URL, []byte("correct horse")
	composer := tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(composer) // a program: filestore or s3store

	handler, err := hooks.NewHandler(ctx, tusd.Config{StoreComposer: composer, BasePath: "/files/"}, hooks.Config{
		Hooks: []hooks.Hook{&httphook.Hook{URL: url, Secret: secret}},
	})
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(ctx)

	r := httptest.NewRequest("POST", "/files/", strings.NewReader("hello")) // create, with all of the content
	r.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Length": {"5"}, "Content-Type": {"application/offset+octet-stream"}}
	handler.ServeHTTP(httptest.NewRecorder(), r)
	for message := range arrived {
		if message.Type == tusd.EventPostFinish {
			fmt.Println("upload complete with", message.Event.Upload.Offset, "bytes")
			break
		}
	}
	// Output: upload complete with 5 bytes
}
