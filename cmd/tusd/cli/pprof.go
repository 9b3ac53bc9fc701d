package cli

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/http/pprof" // it also registers at http.DefaultServeMux, which this program does not serve
	"net/url"
	"runtime"
	"strings"

	"github.com/felixge/fgprof"
)

// newPprof serves profiles of this process below path, which ends with a slash.
// A blockRate or mutexRate above 0 starts the sampling that is off by default.
// auth is "user:password" for Basic authentication; "": none.
func newPprof(path, auth string, blockRate, mutexRate int) http.Handler {
	if blockRate > 0 {
		runtime.SetBlockProfileRate(blockRate)
	}
	if mutexRate > 0 {
		runtime.SetMutexProfileFraction(mutexRate)
	}
	handler := http.StripPrefix(strings.TrimSuffix(path, "/"), profileMux())
	if auth == "" {
		return handler
	}
	return authenticated(auth, handler)
}

// profileMux serves the profiles at the root.
func profileMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/cmdline", pprof.Cmdline)
	mux.HandleFunc("/profile", pprof.Profile)
	mux.HandleFunc("/symbol", pprof.Symbol)
	mux.HandleFunc("/trace", pprof.Trace)
	mux.Handle("/fgprof", fgprof.Handler())
	mux.HandleFunc("/", profileIndex)
	return mux
}

// profileIndex lists the profiles, and serves those without a function of their
// own. Package pprof takes their names from the path that it expects.
func profileIndex(w http.ResponseWriter, r *http.Request) {
	there := *r
	there.URL = &url.URL{Path: "/debug/pprof" + r.URL.Path, RawQuery: r.URL.RawQuery}
	pprof.Index(w, &there)
}

// authenticated passes requests to next if they have the user and the password
// of auth.
func authenticated(auth string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(auth))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got := sha256.Sum256([]byte(user + ":" + password))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="profiles"`)
			http.Error(w, "these profiles need a user and a password", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
