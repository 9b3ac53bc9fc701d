package tusd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"
)

// MetaData has the decoded pairs of Upload-Metadata (tus 1.0, Creation).
type MetaData map[string]string

// ContentType returns the media type in filetype as the value of a header field:
// printable ASCII. It returns "" if there is none.
func (m MetaData) ContentType() string {
	media, params, err := parseMediaType(m["filetype"])
	if err != nil || !strings.Contains(media, "/") {
		return ""
	}
	formatted := mime.FormatMediaType(media, params)
	if strings.Contains(formatted, "\t") { // package mime encodes all other characters that are not printable
		return ""
	}
	return formatted
}

// ParseMetaData reads an Upload-Metadata value (tus 1.0, Creation): pairs separated by
// commas. Each pair is a key and, after one space, a value in padded base64, which may
// be missing. Keys are unique, not empty, and visible ASCII without commas. As in every
// list of HTTP, spaces and tabs may stand around a pair, and elements may be empty (RFC
// 9110, section 5.6.1). The empty string has no pairs. The error is an
// ErrInvalidMetaData.
func ParseMetaData(raw string) (MetaData, error) {
	if raw == "" {
		return nil, nil
	}
	const usual = 8 // pairs; the map grows if there are more
	pairs := make(MetaData, min(strings.Count(raw, ",")+1, usual))
	for pair := range strings.SplitSeq(raw, ",") {
		if pair = textproto.TrimString(pair); pair == "" {
			continue
		}
		key, encoded, _ := strings.Cut(pair, " ")
		if !isMetaDataKey(key) {
			return nil, ErrInvalidMetaData.With(fmt.Errorf("key %.64q", key))
		}
		if _, twice := pairs[key]; twice {
			return nil, ErrInvalidMetaData.With(fmt.Errorf("key %.64q appears twice", key))
		}
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return nil, ErrInvalidMetaData.With(fmt.Errorf("value of key %.64q: %w", key, err))
		}
		pairs[key] = string(value)
	}
	if len(pairs) == 0 {
		return nil, ErrInvalidMetaData.With(errors.New("no pair"))
	}
	return pairs, nil
}

// metaDataList returns the lines of Upload-Metadata as one list. A client gets back the
// bytes that it has sent, except that empty elements and tabs are removed, which some
// clients cannot read.
func metaDataList(lines []string) string {
	raw := strings.Join(lines, ",")
	plain := !strings.Contains(raw, "\t")
	for element := range strings.SplitSeq(raw, ",") {
		plain = plain && textproto.TrimString(element) != ""
	}
	if plain {
		return raw
	}
	var elements []string
	for element := range strings.SplitSeq(raw, ",") {
		if element = textproto.TrimString(element); element != "" {
			elements = append(elements, element)
		}
	}
	if someLine := len(raw) >= len(lines); someLine && len(elements) == 0 {
		return raw // a list without a pair, which is malformed
	}
	return strings.Join(elements, ",")
}

func isMetaDataKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f || key[i] == ',' {
			return false
		}
	}
	return key != ""
}

// SerializeMetaData is the inverse of ParseMetaData, with sorted keys. It leaves out
// pairs whose key cannot stand in the header.
func SerializeMetaData(pairs MetaData) string {
	if len(pairs) == 0 {
		return ""
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if !isMetaDataKey(key) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key)
		if value := pairs[key]; value != "" {
			b.WriteByte(' ')
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(value)))
		}
	}
	return b.String()
}

// parseMediaType is mime.ParseMediaType for untrusted input. It limits the number of
// parameters, because each becomes an entry of a map.
func parseMediaType(s string) (media string, params map[string]string, err error) {
	const mostParameters = 256
	if s == "" || strings.Count(s, ";") > mostParameters {
		return "", nil, errors.New("no media type, or one with very many parameters")
	}
	return mime.ParseMediaType(s)
}

// An answer repeats the metadata of the creation. Clients and proxies accept only a
// limited header, Node.js 16 KiB. A creation whose answers would be too large is
// refused.

// checkAnswerSize returns ErrMetaDataTooLarge if HEAD would repeat more than
// MaxMetaData bytes, or if a download would have more in the fields that describe its
// content.
func (c *Config) checkAnswerSize(info *FileInfo) error {
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

// asStored returns the metadata as it comes back from a record in JSON: each byte that
// is not UTF-8 has become three.
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

// contentHeaderSize returns how many bytes of a download's header come from the
// metadata. If an upper bound is at most enough, it returns that bound, which costs
// less.
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
