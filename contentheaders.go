package tusd

import (
	"strings"

	"github.com/tus/tusd/internal/disposition"
)

// inlineTypes are the media types that a browser may show in place. None of
// them can run a script.
var inlineTypes = map[string]bool{
	"text/plain": true,

	"image/png": true, "image/jpeg": true, "image/gif": true, "image/bmp": true, "image/webp": true,

	"audio/wave": true, "audio/wav": true, "audio/x-wav": true, "audio/x-pn-wav": true, "audio/webm": true, "audio/ogg": true,

	"video/mp4": true, "video/webm": true, "video/ogg": true, "application/ogg": true,
}

// contentHeaders derives Content-Type and Content-Disposition of a download
// from the metadata filetype and filename. They come from the client and are
// not trusted.
func contentHeaders(metadata MetaData) (contentType, contentDisposition string) {
	contentType = "application/octet-stream"
	dispositionType := "attachment"
	if given := metadata.ContentType(); given != "" {
		contentType = given
		if media, _, _ := strings.Cut(given, ";"); inlineTypes[media] {
			dispositionType = "inline"
		}
	}
	return contentType, disposition.Format(dispositionType, metadata["filename"])
}
