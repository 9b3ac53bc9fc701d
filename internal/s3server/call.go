package s3server

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Operation is a call's name in S3.
type Operation string

// The operations that are served. Unknown is what is none of them.
const (
	PutObject               Operation = "PutObject"
	GetObject               Operation = "GetObject"
	HeadObject              Operation = "HeadObject"
	DeleteObject            Operation = "DeleteObject"
	DeleteObjects           Operation = "DeleteObjects"
	ListObjectsV2           Operation = "ListObjectsV2"
	HeadBucket              Operation = "HeadBucket"
	CreateMultipartUpload   Operation = "CreateMultipartUpload"
	UploadPart              Operation = "UploadPart"
	UploadPartCopy          Operation = "UploadPartCopy"
	ListParts               Operation = "ListParts"
	CompleteMultipartUpload Operation = "CompleteMultipartUpload"
	AbortMultipartUpload    Operation = "AbortMultipartUpload"
	ListMultipartUploads    Operation = "ListMultipartUploads"
	Unknown                 Operation = "Unknown"
)

// Call is one call of a client, as it is known before its body is read.
type Call struct {
	Number    int // among all calls of the Server, from 1
	Operation Operation
	Key       string // "" for calls on the bucket
	Upload    string // id of a multipart upload
	Part      int    // number of a part
	Size      int64  // of the body; -1: not announced
	Range     string // that is read or copied, as the header says it
}

// query is a call with all that serving it needs.
type query struct {
	Call
	serve  func(*Server, *query, content) (*answer, error)
	bucket string
	path   string
	ctx    context.Context
	method string
	header http.Header
	params url.Values
	body   io.Reader

	refuseLast string // code of the error with which DeleteObjects refuses its last key
}

// route says by what a request is known as an operation.
type route struct {
	operation Operation
	method    string
	onKey     bool   // or on the bucket
	param     string // that the address has; "": any
	header    string // that the request has; "": any
	serve     func(*Server, *query, content) (*answer, error)
}

// routes are searched from the top.
var routes = []route{
	{UploadPartCopy, http.MethodPut, true, "uploadId", "X-Amz-Copy-Source", (*Server).copyPart},
	{UploadPart, http.MethodPut, true, "uploadId", "", (*Server).uploadPart},
	{Unknown, http.MethodPut, true, "", "X-Amz-Copy-Source", (*Server).notImplemented},
	{PutObject, http.MethodPut, true, "", "", (*Server).putObject},
	{ListParts, http.MethodGet, true, "uploadId", "", (*Server).listParts},
	{GetObject, http.MethodGet, true, "", "", (*Server).getObject},
	{HeadObject, http.MethodHead, true, "", "", (*Server).getObject},
	{AbortMultipartUpload, http.MethodDelete, true, "uploadId", "", (*Server).abort},
	{DeleteObject, http.MethodDelete, true, "", "", (*Server).deleteObject},
	{CreateMultipartUpload, http.MethodPost, true, "uploads", "", (*Server).createUpload},
	{CompleteMultipartUpload, http.MethodPost, true, "uploadId", "", (*Server).complete},
	{DeleteObjects, http.MethodPost, false, "delete", "", (*Server).deleteObjects},
	{ListObjectsV2, http.MethodGet, false, "list-type", "", (*Server).listObjects},
	{ListMultipartUploads, http.MethodGet, false, "uploads", "", (*Server).listUploads},
	{HeadBucket, http.MethodHead, false, "", "", (*Server).headBucket},
	{Unknown, "", true, "", "", (*Server).notImplemented},
	{Unknown, "", false, "", "", (*Server).notImplemented},
}

// elsewhere are the parts of objects and buckets that are addressed by a
// parameter and not served. Without this list they would be taken for the
// object itself.
var elsewhere = []string{
	"acl", "attributes", "cors", "legal-hold", "lifecycle", "location", "policy", "restore", "retention", "select",
	"tagging", "torrent", "versionId", "versioning", "versions", "website",
}

// parse tells what a request asks for. It judges nothing.
func (s *Server) parse(r *http.Request) *query {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	params := r.URL.Query()
	part, _ := strconv.Atoi(params.Get("partNumber")) // 0 is refused as a part number
	q := &query{
		Call: Call{
			Key: s.stored(key), Upload: params.Get("uploadId"), Part: part,
			Size: r.ContentLength, Range: r.Header.Get("Range"),
		},
		bucket: bucket, path: r.URL.Path, ctx: r.Context(), method: r.Method, header: r.Header, params: params,
	}
	found := q.route()
	q.Operation, q.serve = found.operation, found.serve
	if q.Operation == UploadPartCopy {
		q.Range = r.Header.Get("X-Amz-Copy-Source-Range")
	}
	return q
}

func (q *query) route() route {
	last := routes[len(routes)-1]
	for _, name := range elsewhere {
		if q.params.Has(name) {
			return last
		}
	}
	for _, candidate := range routes {
		if candidate.matches(q) {
			return candidate
		}
	}
	return last
}

func (r route) matches(q *query) bool {
	return (r.method == "" || r.method == q.method) && r.onKey == (q.Key != "") &&
		(r.param == "" || q.params.Has(r.param)) && (r.header == "" || q.header.Get(r.header) != "")
}

func (s *Server) notImplemented(*query, content) (*answer, error) {
	return nil, fail(http.StatusNotImplemented, "NotImplemented", "this is not served here")
}
