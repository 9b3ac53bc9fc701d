package s3server

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Operation is the name of a call in S3.
type Operation string

// The operations that are served. Unknown is any other.
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

// Call describes one call of a client before its body is read.
type Call struct {
	Number    int // among all calls of the Server, from 1
	Operation Operation
	Key       string // "" for calls on the bucket
	Upload    string // id of a multipart upload
	Part      int    // number of a part
	Size      int64  // of the body; -1: not known
	Range     string // the header with the range to read or copy
}

// request is a call with all that serving it needs.
type request struct {
	Call
	serve  func(*Server, *request, content) (*answer, error)
	bucket string
	path   string
	ctx    context.Context
	method string
	header http.Header
	params url.Values
	body   io.Reader

	refuseLast string // code of the error with which DeleteObjects refuses its last key
}

// route says which requests are an operation.
type route struct {
	operation Operation
	method    string
	onKey     bool   // else on the bucket
	param     string // that the URL has; "": any
	header    string // that the request has; "": any
	serve     func(*Server, *request, content) (*answer, error)
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

// unsupportedParams select parts of objects and buckets that are not served.
// Without this list a request with one would be served as a request for the
// object itself.
var unsupportedParams = []string{
	"acl", "attributes", "cors", "legal-hold", "lifecycle", "location", "policy", "restore", "retention", "select",
	"tagging", "torrent", "versionId", "versioning", "versions", "website",
}

// parse finds out what a request asks for. It does not check it.
func (s *Server) parse(r *http.Request) *request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	params := r.URL.Query()
	part, _ := strconv.Atoi(params.Get("partNumber")) // 0 is refused as a part number
	req := &request{
		Call: Call{
			Key: s.storedKey(key), Upload: params.Get("uploadId"), Part: part,
			Size: r.ContentLength, Range: r.Header.Get("Range"),
		},
		bucket: bucket, path: r.URL.Path, ctx: r.Context(), method: r.Method, header: r.Header, params: params,
	}
	found := req.route()
	req.Operation, req.serve = found.operation, found.serve
	if req.Operation == UploadPartCopy {
		req.Range = r.Header.Get("X-Amz-Copy-Source-Range")
	}
	return req
}

func (req *request) route() route {
	last := routes[len(routes)-1]
	for _, name := range unsupportedParams {
		if req.params.Has(name) {
			return last
		}
	}
	for _, candidate := range routes {
		if candidate.matches(req) {
			return candidate
		}
	}
	return last
}

func (r route) matches(req *request) bool {
	return (r.method == "" || r.method == req.method) && r.onKey == (req.Key != "") &&
		(r.param == "" || req.params.Has(r.param)) && (r.header == "" || req.header.Get(r.header) != "")
}

func (s *Server) notImplemented(*request, content) (*answer, error) {
	return nil, fail(http.StatusNotImplemented, "NotImplemented", "this is not served here")
}
