package tusd

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// An answer repeats what a creation said of the upload. Clients and proxies read
// only so much of an answer's header, Node.js 16 KiB. An upload of which they
// could not be told is refused when it is created.

// answerable refuses an upload with more than MaxMetaData bytes in what HEAD
// repeats, or in what a download says of its content.
func (c *Config) answerable(info *FileInfo) error {
	stored := *info
	stored.MetaData = asStored(info.MetaData)
	concat := len(info.RawConcat)
	if info.IsPartial {
		concat = len(partialConcat)
	}
	if n := len(rawMetaData(stored)) + concat; n > c.MaxMetaData {
		return ErrMetaDataTooLarge.With(fmt.Errorf("HEAD would repeat %d bytes", n))
	}
	if n := contentHeaderSize(stored.MetaData, c.MaxMetaData); n > c.MaxMetaData {
		return ErrMetaDataTooLarge.With(fmt.Errorf("a download would have %d bytes for the name and the type of its content", n))
	}
	return nil
}

// asStored is the metadata as it comes back from a record, in JSON: each byte that
// is no UTF-8 takes three then.
func asStored(metadata MetaData) MetaData {
	var stored MetaData
	for key, value := range metadata {
		if utf8.ValidString(value) {
			continue
		}
		if stored == nil {
			stored = maps.Clone(metadata)
		}
		stored[key] = strings.Map(func(r rune) rune { return r }, value)
	}
	if stored == nil {
		return metadata
	}
	return stored
}

// contentHeaderSize is how many bytes of a download's header come from the
// metadata, or a larger number that is not more than enough.
func contentHeaderSize(metadata MetaData, enough int) int {
	const (
		growth = 4   // a byte becomes "_%00" at most
		fixed  = 100 // the words around
	)
	coding := len(metadata["contentencoding"])
	if most := fixed + growth*(len(metadata["filename"])+len(metadata["filetype"])) + coding; most <= enough {
		return most
	}
	contentType, disposition := contentHeaders(metadata)
	return len(contentType) + len(disposition) + coding
}
