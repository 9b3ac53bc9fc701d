package tusd_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-chi/chi/v5"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

type userKey struct{}

// authenticate is the middleware of the program. Callbacks find the user in their ctx.
// Browsers send OPTIONS without credentials.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, ok := r.BasicAuth() // a program also checks the password
		if !ok && r.Method != http.MethodOptions {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// Mount the handler on a router. BasePath is the whole path, with the prefixes of all
// routers above.
func Example_chi() {
	composer := tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(composer) // for tests; a program uses filestore or s3store
	config := tusd.Config{BasePath: "/api/files/", StoreComposer: composer}
	config.Callbacks.PreCreate = func(ctx context.Context, _ tusd.Event) (response tusd.HTTPResponse, changes tusd.FileInfoChanges, err error) {
		if changes.Owner, _ = ctx.Value(userKey{}).(string); changes.Owner == "" {
			err = tusd.ErrAccessDenied
		}
		return response, changes, err
	}
	config.Callbacks.PreAccess = func(ctx context.Context, event tusd.Event) error {
		record, err := event.Record(ctx)
		if user, _ := ctx.Value(userKey{}).(string); err == nil && (user == "" || record.Owner != user) {
			err = tusd.ErrNotFound
		}
		return err
	}
	handler, err := tusd.NewHandler(config)
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(context.Background())
	router := chi.NewRouter()
	router.Route("/api", func(api chi.Router) {
		api.With(authenticate).Mount("/files", handler)
	})

	r := httptest.NewRequest("POST", "http://example.com/api/files", nil)
	r.SetBasicAuth("ann", "secret")
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", "5")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	upload := w.Header().Get("Location")
	fmt.Println(w.Code, upload[:len("http://example.com/api/files/")])

	for _, user := range []string{"ann", "ben"} {
		r := httptest.NewRequest("HEAD", upload, nil)
		r.SetBasicAuth(user, "secret")
		r.Header.Set("Tus-Resumable", "1.0.0")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		fmt.Println(user, w.Code)
	}
	// Output:
	// 201 http://example.com/api/files/
	// ann 200
	// ben 404
}
