package protocoltest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"hash/adler32"
	"hash/crc32"
)

// hashes are the functions of checksums and digests, by their names in tus and
// in RFC 9530.
var hashes = []struct {
	tus, field string
	new        func() hash.Hash
}{
	{"sha1", "sha", sha1.New},
	{"md5", "md5", md5.New},
	{"sha256", "sha-256", sha256.New},
	{"sha512", "sha-512", sha512.New},
	{"crc32", "", func() hash.Hash { return crc32.NewIEEE() }},
	{"crc32c", "crc32c", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
	{"", "adler", func() hash.Hash { return adler32.New() }},
}

// sum64 is the hash of data under any of its names, in base64.
func sum64(name string, data []byte) string {
	for _, h := range hashes {
		if name == h.tus || name == h.field {
			sum := h.new()
			sum.Write(data)
			return base64.StdEncoding.EncodeToString(sum.Sum(nil))
		}
	}
	panic("no hash " + name)
}

func checksum(name string, data []byte) string {
	return "Upload-Checksum: " + name + " " + sum64(name, data)
}

// field9530 is a field of RFC 9530 with one algorithm.
func field9530(field, name string, data []byte) string {
	return field + ": " + name + "=:" + sum64(name, data) + ":"
}

// reprDigest is the value that Repr-Digest has for data.
func reprDigest(algorithm string, data []byte) string {
	for _, h := range hashes {
		if h.tus == algorithm || h.field == algorithm {
			return h.field + "=:" + sum64(h.field, data) + ":"
		}
	}
	panic("no hash " + algorithm)
}
