package tusd_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

var users = map[string]string{"Bearer a": "ann", "Bearer b": "ben"} // by token

var errNoUser = tusd.ErrAccessDenied.Refuse(tusd.HTTPResponse{StatusCode: 401, Header: map[string]string{"WWW-Authenticate": "Bearer"}})

// preCreate lets every user create uploads. The record gets the owner.
func preCreate(_ context.Context, event tusd.Event) (response tusd.HTTPResponse, changes tusd.FileInfoChanges, err error) {
	if changes.Owner = users[event.HTTPRequest.Header.Get("Authorization")]; changes.Owner == "" {
		err = errNoUser
	}
	return response, changes, err
}

// preAccess lets only the owner use an upload. To others it does not exist.
func preAccess(ctx context.Context, event tusd.Event) error {
	user := users[event.HTTPRequest.Header.Get("Authorization")]
	if user == "" {
		return errNoUser
	}
	record, err := event.Record(ctx)
	if err == nil && record.Owner != user {
		err = tusd.ErrNotFound
	}
	return err // also of the store: its client tries again
}

// Authorize every request: PreCreate gives an upload its owner, and PreAccess compares the
// owner with the user of each later request.
func Example_authorization() {
	dir, _ := os.MkdirTemp("", "uploads")
	defer os.RemoveAll(dir)
	composer := tusd.NewStoreComposer()
	filestore.New(dir).UseIn(composer)
	callbacks := tusd.Callbacks{PreCreate: preCreate, PreAccess: preAccess}
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Callbacks: callbacks})
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(context.Background())
	mux := http.NewServeMux()
	mux.Handle("/files/", handler)

	try := func(method, url, token string) (location string) {
		r := httptest.NewRequest(method, url, nil)
		r.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Length": {"5"}, "Authorization": {"Bearer " + token}}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(method, "by", token, w.Code)
		return w.Header().Get("Location")
	}
	try("POST", "/files/", "x")
	upload := try("POST", "/files/", "a")
	try("HEAD", upload, "a")
	try("HEAD", upload, "b")
	try("DELETE", upload, "b")
	// Output:
	// POST by x 401
	// POST by a 201
	// HEAD by a 200
	// HEAD by b 404
	// DELETE by b 404
}
