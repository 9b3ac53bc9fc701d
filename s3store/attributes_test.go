package s3store_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// withMetadata returns a value of Upload-Metadata.
func withMetadata(pairs ...string) string {
	var fields []string
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(fields, ",")
}

// A bucket policy can demand that every object is encrypted: records, tail
// objects and data.
func TestAllObjectsAreEncrypted(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Object = s3store.ObjectRules{Encryption: "aws:kms", EncryptionKey: "key"}
	n := startNode(t, store, &tusd.LocalLocker{})
	n.patch(n.create(testPart), 0, testPart)
	n.patch(n.create(3*testPart), 0, 3*testPart)     // a multipart upload
	n.patch(n.create(10*testPart), 0, testMinPart/2) // a tail object
	kinds := map[string]bool{}
	for _, o := range server.Objects() {
		kinds[path.Ext(o.Key)] = true
		if method, key := o.Header.Get("X-Amz-Server-Side-Encryption"), o.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); method != "aws:kms" || key != "key" {
			t.Errorf("%s is encrypted by %q with %q", o.Key, method, key)
		}
	}
	if !kinds[".info"] || !kinds[".part"] || !kinds[""] {
		t.Errorf("there are objects of the kinds %v, want a record, a tail object and data", kinds)
	}
}

// The data object has the attributes of ObjectRules and no other metadata of
// the client, whether it is stored in one call or in parts.
func TestObjectAttributes(t *testing.T) {
	for name, size := range map[string]int64{"one call": 1000, "parts": 3 * testPart} {
		t.Run(name, func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			store := testStore(server.Bucket(), clientOf(t, server))
			store.Object = s3store.ObjectRules{
				CacheControl: "max-age=60", StorageClass: "STANDARD_IA", Encryption: "AES256",
				Tags: map[string]string{"team": "a b"}, MetadataKeys: []string{"project", "Title"},
			}
			n := startNode(t, store, &tusd.LocalLocker{})
			path := n.create(size, "Upload-Metadata", withMetadata(
				"filename", "für dich.txt", "filetype", "text/plain;charset=utf-8", "project", "x", "Title", "é", "secret", "s"))
			n.patch(path, 0, size)
			o, ok := server.Object(path[len("/files/"):])
			if !ok {
				t.Fatal("there is no object")
			}
			for header, want := range map[string]string{
				"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=60",
				"Content-Disposition":          `attachment; filename="f_r dich.txt"; filename*=UTF-8''f%C3%BCr%20dich.txt`,
				"X-Amz-Storage-Class":          "STANDARD_IA",
				"X-Amz-Server-Side-Encryption": "AES256",
			} {
				if got := o.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
			delete(o.Metadata, "tusd-proof")
			delete(o.Metadata, "tusd-crc32c")
			if !maps.Equal(o.Metadata, map[string]string{"project": "x", "title": "%C3%A9"}) || o.Tags["team"] != "a b" {
				t.Errorf("metadata %v, tags %v", o.Metadata, o.Tags)
			}
		})
	}
}

// A filetype with a control character does not become the Content-Type.
func TestObjectTypeIsPrintable(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startNode(t, testStore(server.Bucket(), clientOf(t, server)), &tusd.LocalLocker{})
	path := n.create(5, "Upload-Metadata", withMetadata("filetype", "text/plain; a=\"b\tc\""))
	n.patch(path, 0, 5)
	o, ok := server.Object(path[len("/files/"):])
	if got := o.Header.Get("Content-Type"); !ok || strings.Contains(got, "\t") {
		t.Errorf("there is an object: %v, of type %q", ok, got)
	}
}

// Metadata that an object cannot carry is refused before anything is stored.
func TestObjectAttributesTooLarge(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.Object.MetadataKeys = []string{"title"}
	n := startNode(t, store, &tusd.LocalLocker{})
	answer := n.request(http.MethodPost, "/files/", nil, "Upload-Length", "1",
		"Upload-Metadata", withMetadata("title", strings.Repeat("x", 3000)))
	n.want(http.StatusRequestHeaderFieldsTooLarge, answer)
	if len(server.Objects()) > 0 {
		t.Error("something is stored")
	}
}
