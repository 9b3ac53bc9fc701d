package filestore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/tus/tusd"
)

// The file of a side record says whose record it is. It was the file of another record before, and
// after a power cut it may have the content of that one, or parts of both: its name and its content
// become durable at the same time (durable.Replacer.CreateNew).
//
// The content is a line that says what follows, the key, a line end, and the value. Zeros fill a
// block, so that the next record has the same size. A file that begins in another way is a value as a
// whole: so were the files of early versions. Their content is JSON or short; what else a power cut
// leaves of a new file has the size of blocks.

const (
	sideFilePrefix = "tusd side record "
	sideFileHeader = sideFilePrefix + "%08x %d %d\n" // the sum of what follows, and two lengths in bytes
	// sideFileBlock is the size of the file of a short record, in bytes.
	sideFileBlock = 4096
	// maxSideFile bounds the size of the file, in bytes.
	maxSideFile = tusd.MaxSideRecord + sideFileBlock
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeSideFile returns the content of the file of a side record.
func encodeSideFile(key tusd.SideRecordKey, value []byte) []byte {
	name := sideName(key)
	body := name + "\n" + string(value)
	content := fmt.Appendf(make([]byte, 0, sideFileBlock), sideFileHeader, crc32.Checksum([]byte(body), castagnoli), len(name), len(value))
	content = append(content, body...)
	if len(content) < sideFileBlock {
		content = content[:sideFileBlock]
	}
	return content
}

// decodeSideFile returns the value in the file of a side record. ok is false if the file has the
// record of another key, or is not whole.
func decodeSideFile(key tusd.SideRecordKey, content []byte) (value []byte, ok bool) {
	if !bytes.HasPrefix(content, []byte(sideFilePrefix)) {
		begun := string(bytes.TrimRight(content, "\x00")) // of the prefix, or of nothing
		return content, !strings.HasPrefix(sideFilePrefix, begun) && (len(content) < sideFileBlock || json.Valid(content))
	}
	line, body, _ := bytes.Cut(content, []byte("\n"))
	var sum uint32
	var nameLength, length int
	if _, err := fmt.Sscanf(string(line)+"\n", sideFileHeader, &sum, &nameLength, &length); err != nil {
		return nil, false
	}
	name := sideName(key)
	if nameLength != len(name) || length < 0 || length > len(body)-nameLength-1 {
		return nil, false
	}
	body = body[:nameLength+1+length]
	if crc32.Checksum(body, castagnoli) != sum || !strings.HasPrefix(string(body[:nameLength+1]), name+"\n") {
		return nil, false
	}
	return body[nameLength+1:], true
}

func sideName(key tusd.SideRecordKey) string { return key.Kind + "/" + key.Name }
