// Package s3server is an S3 service in process, for tests without a network. It
// serves the REST protocol on one bucket as far as clients use it for uploads:
// path-style URLs, XML, multipart uploads, copies of ranges, conditions,
// presigned URLs.
//
// Like real services it refuses the usual mistakes of uploaders (minimum size and order of
// parts, their ETags, limits of number, size and metadata). Quirks make it behave like one
// of several services. A test can make any call fail in the ways of real calls (Outcome),
// count calls and bytes, and inspect the stored objects without calls.
//
// It checks no signatures, only the access key and the time. Bodies that are
// signed in chunks, versions, access lists and policies are not served: they
// are answered with NotImplemented.
package s3server
