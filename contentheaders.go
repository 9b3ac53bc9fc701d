package tusd

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/tus/tusd/internal/datakey"
)

// inlineTypes are the media types that a browser may show in place. Nothing
// among them can run a script.
var inlineTypes = map[string]bool{
	"text/plain": true,

	"image/png": true, "image/jpeg": true, "image/gif": true, "image/bmp": true, "image/webp": true,

	"audio/wave": true, "audio/wav": true, "audio/x-wav": true, "audio/x-pn-wav": true, "audio/webm": true, "audio/ogg": true,

	"video/mp4": true, "video/webm": true, "video/ogg": true, "application/ogg": true,
}

// contentHeaders derives Content-Type and Content-Disposition of a download
// from the metadata filetype and filename, which are the client's and not to
// be trusted.
func contentHeaders(metadata MetaData) (contentType, disposition string) {
	contentType, disposition = "application/octet-stream", "attachment"
	if given := metadata.ContentType(); given != "" {
		contentType = given
		if media, _, _ := strings.Cut(given, ";"); inlineTypes[media] {
			disposition = "inline"
		}
	}
	if name := metadata["filename"]; name != "" {
		disposition += dispositionName(name)
	}
	return contentType, disposition
}

// dispositionName writes a file name, less what could make it a path or more
// than a name, as filename and, if that cannot hold it, filename* (RFC 6266,
// RFC 8187).
func dispositionName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || datakey.IsBidi(r) || strings.ContainsRune(`/\`, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	plain := strings.Map(func(r rune) rune {
		if r >= 0x7f || strings.ContainsRune(`"%`, r) {
			return '_'
		}
		return r
	}, name)
	s := `; filename="` + plain + `"`
	if plain != name {
		s += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return s
}
