package s3store

import (
	"net/http"
	"strings"
)

// maxRedirectURL bounds the URL that a client is sent to, in bytes. The name
// of a file is part of it, and proxies refuse an answer whose header is long.
const maxRedirectURL = 4 << 10

// redirect answers a GET with a URL of the object that is valid for a time,
// and tells whether it has. The service answers with the type and the name
// that w's header has, which the URL fixes.
func (s *Store) redirect(w http.ResponseWriter, r *http.Request, key string) (bool, error) {
	if r.Method == http.MethodHead || w.Header().Get("Content-Encoding") != "" {
		return false, nil // the URL is good for a GET only, and sets no coding
	}
	target, err := s.Client.PresignGet(key, Attributes{
		ContentType: w.Header().Get("Content-Type"), ContentDisposition: w.Header().Get("Content-Disposition"),
	}, s.RedirectDownloads)
	if err != nil || len(target) > maxRedirectURL {
		return false, err
	}
	h := w.Header()
	for _, name := range []string{"Content-Type", "Content-Disposition", "Repr-Digest"} {
		h.Del(name) // they are about content, and this answer has none
	}
	h.Set("Cache-Control", "no-store") // who has the URL has the content
	h.Set("Location", target)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound) // after which also a POST that means GET goes on as GET
	return true, nil
}

// forceAttachment has browsers save content rather than show it. A service does not
// send what keeps them from running what they show (nosniff, a policy).
func forceAttachment(header http.Header) {
	if name, shown := strings.CutPrefix(header.Get("Content-Disposition"), "inline"); shown {
		header.Set("Content-Disposition", "attachment"+name)
	}
}
