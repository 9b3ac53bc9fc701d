package s3server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	metadataPrefix = "X-Amz-Meta-"
	maxMetadata    = 2 << 10 // bytes of names and values
	maxTags        = 10
)

// attributes are stored with an object beside its bytes.
type attributes struct {
	header   http.Header
	metadata map[string]string
	tags     map[string]string
}

// storedHeaders are the headers that are stored with an object unchanged.
var storedHeaders = []string{
	"Content-Type", "Content-Disposition", "Content-Encoding", "Content-Language", "Cache-Control", "Expires",
	"X-Amz-Storage-Class", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
}

// overridable are the headers that a GET can set for its answer.
var overridable = storedHeaders[:6]

// attributes reads the attributes of an object from the call that writes it.
func (s *Server) attributes(req *request) (attributes, error) {
	a := attributes{header: make(http.Header), metadata: make(map[string]string)}
	for _, name := range storedHeaders {
		if value := req.header.Get(name); value != "" {
			a.header.Set(name, value)
		}
	}
	if err := a.check(); err != nil {
		return a, err
	}
	if err := a.readMetadata(req.header); err != nil {
		return a, err
	}
	return a, a.readTags(req.header.Get("X-Amz-Tagging"), s.options.Quirks.NoTagging)
}

func (a attributes) check() error {
	switch a.header.Get("X-Amz-Storage-Class") {
	case "", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
		"GLACIER_IR", "DEEP_ARCHIVE", "EXPRESS_ONEZONE":
	default:
		return invalid("InvalidStorageClass", "the storage class is not known")
	}
	switch a.header.Get("X-Amz-Server-Side-Encryption") {
	case "", "AES256", "aws:kms", "aws:kms:dsse":
	default:
		return invalid("InvalidEncryptionAlgorithmError", "the encryption is not known")
	}
	return nil
}

func (a attributes) readMetadata(header http.Header) error {
	size := 0
	for name, values := range header {
		short, ok := strings.CutPrefix(name, metadataPrefix)
		if !ok {
			continue
		}
		value := strings.Join(values, ",")
		a.metadata[strings.ToLower(short)] = value
		size += len(short) + len(value)
	}
	if size > maxMetadata {
		return invalid("MetadataTooLarge", "the metadata is larger than 2 KiB")
	}
	return nil
}

func (a *attributes) readTags(header string, none bool) error {
	if header == "" {
		return nil
	}
	if none {
		return fail(http.StatusNotImplemented, "NotImplemented", "there are no tags")
	}
	values, err := url.ParseQuery(header)
	if err != nil {
		return invalid("InvalidArgument", "the header x-amz-tagging is not valid")
	}
	if len(values) > maxTags {
		return invalid("BadRequest", "an object has at most 10 tags")
	}
	a.tags = make(map[string]string)
	for name, value := range values {
		if len(value) != 1 || name == "" || len(name) > 128 || len(value[0]) > 256 {
			return invalid("InvalidTag", "a tag is not valid")
		}
		a.tags[name] = value[0]
	}
	return nil
}

// write sets the headers of an answer that carries an object.
func (a attributes) write(header http.Header) {
	for name, values := range a.header {
		header[name] = values
	}
	for name, value := range a.metadata {
		header.Set(metadataPrefix+name, value)
	}
	if len(a.tags) > 0 {
		header.Set("X-Amz-Tagging-Count", strconv.Itoa(len(a.tags)))
	}
}

// writeEncryption sets the encryption headers of an answer to a write.
func (a attributes) writeEncryption(header http.Header) {
	for _, name := range storedHeaders[len(overridable)+1:] {
		if value := a.header.Get(name); value != "" {
			header.Set(name, value)
		}
	}
}

// override sets the headers that a GET overrides.
func override(header http.Header, params url.Values) {
	for _, name := range overridable {
		if value := params.Get("response-" + strings.ToLower(name)); value != "" {
			header.Set(name, value)
		}
	}
}
