package s3server

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// listTime is the format of times in documents.
const listTime = "2006-01-02T15:04:05.000Z"

type objectListing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	Contents              []listedObject
	CommonPrefixes        []commonPrefix
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type commonPrefix struct{ Prefix string }

func (s *Server) listObjects(req *request, _ content) (*answer, error) {
	listing := objectListing{
		Name: req.bucket, Prefix: req.params.Get("prefix"), Delimiter: req.params.Get("delimiter"),
		StartAfter: req.params.Get("start-after"), ContinuationToken: req.params.Get("continuation-token"),
		EncodingType: req.params.Get("encoding-type"),
	}
	if req.params.Get("list-type") != "2" {
		return s.notImplemented(req, content{})
	}
	var err error
	if listing.MaxKeys, err = s.pageSize(req, "max-keys"); err != nil {
		return nil, err
	}
	last, err := base64.URLEncoding.DecodeString(listing.ContinuationToken)
	if err != nil {
		return nil, invalid("InvalidArgument", "the continuation token is not valid")
	}
	s.mu.Lock()
	listing.fill(s.listedState(), string(last))
	s.mu.Unlock()
	listing.encode()
	return xmlAnswer(http.StatusOK, listing), nil
}

// pageSize returns how many entries a page may have at most.
func (s *Server) pageSize(req *request, param string) (int, error) {
	size := s.options.Quirks.pageSize()
	if !req.params.Has(param) {
		return size, nil
	}
	asked, err := strconv.Atoi(req.params.Get(param))
	if err != nil || asked < 0 {
		return 0, invalid("InvalidArgument", param+" is not valid")
	}
	return min(asked, size), nil
}

// fill lists the entries behind last, the last entry of the previous page.
func (l *objectListing) fill(bucket bucketState, last string) {
	for _, key := range bucket.keys() {
		entry, isPrefix := l.entry(key)
		if entry <= last || key <= l.StartAfter {
			continue
		}
		if l.KeyCount == l.MaxKeys {
			l.IsTruncated = l.MaxKeys > 0
			break
		}
		l.KeyCount++
		last = entry
		if isPrefix {
			l.CommonPrefixes = append(l.CommonPrefixes, commonPrefix{entry})
		} else {
			l.Contents = append(l.Contents, listEntry(key, bucket.objects[key]))
		}
	}
	if l.IsTruncated {
		l.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
	}
}

// entry returns the entry of a key in the listing: the key, or the common
// prefix that it has with others; "" if it is not listed.
func (l *objectListing) entry(key string) (entry string, isPrefix bool) {
	rest, ok := strings.CutPrefix(key, l.Prefix)
	if !ok {
		return "", false
	}
	if l.Delimiter == "" {
		return key, false
	}
	if before, _, ok := strings.Cut(rest, l.Delimiter); ok {
		return l.Prefix + before + l.Delimiter, true
	}
	return key, false
}

func listEntry(key string, o *object) listedObject {
	class := o.attributes.header.Get("X-Amz-Storage-Class")
	if class == "" {
		class = "STANDARD"
	}
	return listedObject{key, formatTime(o.modified), o.etag, o.size, class}
}

// encode escapes all keys if the client has asked for that.
func (l *objectListing) encode() {
	if l.EncodingType != "url" {
		return
	}
	for _, text := range []*string{&l.Prefix, &l.Delimiter, &l.StartAfter} {
		*text = url.QueryEscape(*text)
	}
	for i := range l.Contents {
		l.Contents[i].Key = url.QueryEscape(l.Contents[i].Key)
	}
	for i := range l.CommonPrefixes {
		l.CommonPrefixes[i].Prefix = url.QueryEscape(l.CommonPrefixes[i].Prefix)
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(listTime) }
