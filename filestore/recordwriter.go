package filestore

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tus/tusd"
)

// recordWriter encodes a record as JSON, byte for byte as package json does, but in
// a third of the time (decision 0019). Rare values are left to package json.
type recordWriter struct {
	b   []byte
	err error
}

// record writes all of info, in the order of its fields. A test fails if
// tusd.FileInfo gets one that is not here.
func (w *recordWriter) record(info *tusd.FileInfo) {
	w.b = append(w.b, '{')
	w.name("ID").string(info.ID)
	w.name("Size").int(info.Size)
	w.name("SizeIsDeferred").bool(info.SizeIsDeferred)
	w.name("Offset").int(info.Offset)
	w.name("MetaData").object(info.MetaData)
	w.name("IsPartial").bool(info.IsPartial)
	w.name("IsFinal").bool(info.IsFinal)
	w.name("PartialUploads").list(info.PartialUploads)
	w.name("Storage").object(info.Storage)
	if info.Version != 0 {
		w.name("Version").int(int64(info.Version))
	}
	if !info.Created.IsZero() {
		w.name("Created").time(info.Created)
	}
	w.text("Owner", info.Owner)
	if !info.Expires.IsZero() {
		w.name("Expires").time(info.Expires)
	}
	w.text("Dialect", string(info.Dialect))
	w.text("State", string(info.State))
	w.text("RawMetaData", info.RawMetaData)
	w.text("RawConcat", info.RawConcat)
	if len(info.Finals) > 0 {
		w.name("Finals").list(info.Finals)
	}
	if info.Failure != nil {
		w.name("Failure").marshal(info.Failure)
	}
	if len(info.Digests) > 0 {
		w.name("Digests").marshal(info.Digests)
	}
	if info.KnownLength != nil {
		w.name("KnownLength").int(*info.KnownLength)
	}
	w.b = append(w.b, '}')
}

// name begins a field. Names need no escaping.
func (w *recordWriter) name(name string) *recordWriter {
	w.separate()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, `":`...)
	return w
}

// separate writes a comma, unless the object has just begun.
func (w *recordWriter) separate() {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
}

// text writes a field, unless it is empty.
func (w *recordWriter) text(name, value string) {
	if value != "" {
		w.name(name).string(value)
	}
}

func (w *recordWriter) int(n int64) { w.b = strconv.AppendInt(w.b, n, 10) }

func (w *recordWriter) bool(is bool) { w.b = strconv.AppendBool(w.b, is) }

// time writes a point in time. Package json returns an error for years and zones
// that RFC 3339 does not have.
func (w *recordWriter) time(t time.Time) {
	if t.Location() != time.UTC || t.Year() < 0 || t.Year() > 9999 {
		w.marshal(t)
		return
	}
	w.b = append(w.b, '"')
	w.b = t.AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
}

// string writes s. Few strings need escaping.
func (w *recordWriter) string(s string) {
	if !needsNoEscaping(s) {
		w.marshal(s)
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// needsNoEscaping reports whether package json writes s unchanged.
func needsNoEscaping(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// object writes a map, in the order of its names.
func (w *recordWriter) object(m map[string]string) {
	if m == nil {
		w.null()
		return
	}
	var few [8]string // on the stack, for most maps
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	w.b = append(w.b, '{')
	for _, name := range names {
		w.separate()
		w.string(name)
		w.b = append(w.b, ':')
		w.string(m[name])
	}
	w.b = append(w.b, '}')
}

func (w *recordWriter) list(values []string) {
	if values == nil {
		w.null()
		return
	}
	w.b = append(w.b, '[')
	for i, value := range values {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(value)
	}
	w.b = append(w.b, ']')
}

func (w *recordWriter) null() { w.b = append(w.b, "null"...) }

// marshal writes a value with package json.
func (w *recordWriter) marshal(value any) {
	content, err := json.Marshal(value)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.b = append(w.b, content...)
}
