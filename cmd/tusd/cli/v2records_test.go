package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keysOfV2 are the keys of a record of tusd v2.10, in order.
var keysOfV2 = []string{"ID", "Size", "SizeIsDeferred", "Offset", "MetaData", "IsPartial", "IsFinal", "PartialUploads", "Storage"}

// v2Record is a record with the keys of tusd v2.10.
type v2Record struct {
	ID             string
	Size           int64
	SizeIsDeferred bool
	Offset         int64
	MetaData       map[string]string
	IsPartial      bool
	IsFinal        bool
	PartialUploads []string
	Storage        map[string]string
}

// tusd v2 can read our records: they begin with its keys, with the same meaning, and the
// data file is as long as the offset.
func TestRecordsForV2(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	upload := func(content string, header ...string) string {
		location := tus(t, "POST", d.url, content, header...).want(t, 201).header.Get("Location")
		return strings.TrimPrefix(location, d.url)
	}
	plain := upload("hello ", "Upload-Length: 11", "Upload-Metadata: filename aGVsbG8udHh0,empty")
	deferredLength := upload("", "Upload-Defer-Length: 1")
	one := upload("hello ", "Upload-Length: 6", "Upload-Concat: partial")
	two := upload("world", "Upload-Length: 5", "Upload-Concat: partial")
	concatenated := upload("", "Upload-Concat: final;/files/"+one+" /files/"+two)
	declared := upload("", "Upload-Defer-Length: 1")
	tus(t, "PATCH", d.url+declared, "hi", "Upload-Offset: 0", "Upload-Length: 2").want(t, 204)
	draft := send(t, "POST", d.url, "hello ", "Upload-Complete: ?0", "Upload-Length: 11").want(t, 201).header.Get("Location")
	short := upload("wor", "Upload-Length: 5", "Upload-Concat: partial")
	pending := upload("", "Upload-Concat: final;/files/"+one+" /files/"+short)
	if code := d.end(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	for id, want := range map[string]struct {
		record v2Record
		data   string
	}{
		plain:                            {v2Record{Size: 11, MetaData: map[string]string{"filename": "hello.txt", "empty": ""}}, "hello "},
		deferredLength:                   {v2Record{SizeIsDeferred: true}, ""},
		one:                              {v2Record{Size: 6, IsPartial: true}, "hello "},
		concatenated:                     {v2Record{Size: 11, IsFinal: true, PartialUploads: []string{one, two}}, "hello world"},
		pending:                          {v2Record{Size: 11, IsFinal: true, PartialUploads: []string{one, short}}, ""},
		declared:                         {v2Record{Size: 2}, "hi"},
		strings.TrimPrefix(draft, d.url): {v2Record{SizeIsDeferred: true}, "hello "},
	} {
		want.record.ID = id
		want.record.Storage = map[string]string{
			"Type": "filestore", "Path": filepath.Join(dir, id), "InfoPath": filepath.Join(dir, id+".info"),
		}
		wantReadByV2(t, dir, want.record, want.data)
	}
}

func wantReadByV2(t *testing.T, dir string, want v2Record, data string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, want.ID+".info"))
	if err != nil {
		t.Fatal(err)
	}
	var got v2Record
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	if !maps.Equal(got.MetaData, want.MetaData) || !maps.Equal(got.Storage, want.Storage) || !slices.Equal(got.PartialUploads, want.PartialUploads) ||
		got.ID != want.ID || got.Size != want.Size || got.SizeIsDeferred != want.SizeIsDeferred || got.Offset != 0 ||
		got.IsPartial != want.IsPartial || got.IsFinal != want.IsFinal {
		t.Errorf("%s\nis read as %+v, want %+v", content, got, want)
	}
	if keys := orderedKeys(t, content); len(keys) < len(keysOfV2) || !slices.Equal(keys[:len(keysOfV2)], keysOfV2) {
		t.Errorf("the keys are %q, want %q first", keys, keysOfV2)
	}
	if stored, err := os.ReadFile(filepath.Join(dir, want.ID)); err != nil || string(stored) != data {
		t.Errorf("%s has the data %q, want %q (%v)", want.ID, stored, data, err)
	}
}

// orderedKeys returns the keys of an object in the order of its text.
func orderedKeys(t *testing.T, object []byte) (keys []string) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
	}
	return keys
}
