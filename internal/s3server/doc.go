// Package s3server is an S3 service in process, for tests without a network. It
// speaks the REST protocol of one bucket as clients of the service use it for
// uploads: path-style addresses, XML, multipart uploads, copies of ranges,
// conditions, presigned addresses.
//
// It is as strict as services are where an uploader can go wrong (minimum size
// and order of parts, their ETags, limits of number, size and metadata), and
// Quirks make it differ as services do. A test can make any call fail in the
// ways that calls fail (Outcome), counts calls and bytes, and looks directly at
// what is stored.
//
// Signatures are not checked, only the access key and the time. Bodies that are
// signed in chunks, versions, access lists and policies are not served: they
// are answered with NotImplemented.
package s3server
