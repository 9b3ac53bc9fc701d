package s3store

import (
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/disposition"
)

// ObjectRules say which attributes data objects get. The client's metadata is
// only in the record unless MetadataKeys names it. Encryption applies to all
// objects.
type ObjectRules struct {
	CacheControl  string
	StorageClass  string
	Encryption    string // server-side: AES256, aws:kms
	EncryptionKey string // id of a KMS key
	Tags          map[string]string
	// MetadataKeys are the keys of the client's metadata that become
	// x-amz-meta-*. A value that is not printable ASCII is percent-encoded.
	MetadataKeys []string
}

// maxObjectMetadata is how many bytes of x-amz-meta-* services accept.
const maxObjectMetadata = 2 << 10

// attributes returns the attributes of an upload's data object. Metadata that
// does not fit is refused.
func (r *ObjectRules) attributes(info tusd.FileInfo) (Attributes, error) {
	a := Attributes{
		ContentType: info.MetaData.ContentType(), CacheControl: r.CacheControl, StorageClass: r.StorageClass,
		Tags: maps.Clone(r.Tags), Metadata: make(map[string]string, len(r.MetadataKeys)),
	}
	if filename := info.MetaData["filename"]; filename != "" {
		a.ContentDisposition = disposition.Format("attachment", filename)
	}
	size := 0
	for _, key := range r.MetadataKeys {
		value, ok := info.MetaData[key]
		if !ok {
			continue
		}
		name := strings.ToLower(key)
		if !headerName(name) || name == proofName || name == checksumName {
			return Attributes{}, tusd.ErrInvalidMetaData.With(fmt.Errorf("%q cannot name metadata of an object", key))
		}
		a.Metadata[name] = headerValue(value)
		size += len(name) + len(a.Metadata[name])
	}
	if size > maxObjectMetadata-len(proofName)-64 {
		return Attributes{}, tusd.ErrMetaDataTooLarge.With(fmt.Errorf("%d bytes are more than an object can carry", size))
	}
	return a, nil
}

func headerName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

// headerValue percent-encodes a value that a header cannot contain.
func headerValue(s string) string {
	plain := strings.TrimSpace(s) == s
	for i := range len(s) {
		plain = plain && s[i] >= 0x20 && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return url.PathEscape(s)
}

// dataAttributes returns the attributes of an upload's data object, with its
// proof.
func (b *bucket) dataAttributes(st *state) (Attributes, error) {
	attributes, err := b.rules.attributes(st.info)
	if err == nil {
		attributes.Metadata[proofName] = st.layout.Proof
	}
	return attributes, err
}
