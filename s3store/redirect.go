package s3store

import (
	"net/http"
	"strings"
)

// maxRedirectURL bounds the URL of a redirect, in bytes. It contains the file
// name, and proxies refuse an answer with a long header.
const maxRedirectURL = 4 << 10

// redirect answers a GET with a presigned URL of the object, and reports
// whether it has. The URL contains the type and the name that the header of w
// has, and the service answers with them.
func (s *Store) redirect(w http.ResponseWriter, r *http.Request, key string) (bool, error) {
	if r.Method == http.MethodHead || w.Header().Get("Content-Encoding") != "" {
		return false, nil // the URL is valid for GET only, and cannot set a coding
	}
	target, err := s.Client.PresignGet(key, Attributes{
		ContentType: w.Header().Get("Content-Type"), ContentDisposition: w.Header().Get("Content-Disposition"),
	}, s.RedirectDownloads)
	if err != nil || len(target) > maxRedirectURL {
		return false, err
	}
	h := w.Header()
	for _, name := range []string{"Content-Type", "Content-Disposition", "Repr-Digest"} {
		h.Del(name) // they describe content, and this answer has none
	}
	h.Set("Cache-Control", "no-store") // the URL gives access to the content
	h.Set("Location", target)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound) // after which a client repeats also an overridden POST as GET
	return true, nil
}

// forceAttachment makes browsers save content instead of displaying it. The
// service does not send the headers that keep browsers from running it
// (nosniff, Content-Security-Policy).
func forceAttachment(header http.Header) {
	if name, shown := strings.CutPrefix(header.Get("Content-Disposition"), "inline"); shown {
		header.Set("Content-Disposition", "attachment"+name)
	}
}
