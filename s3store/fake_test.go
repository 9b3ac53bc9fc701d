package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd/s3store"
)

// fakeService is a client and its service without a network, so that a fake
// clock can run. It stores records and the contents for which keeps is true;
// of other contents it stores the size, and does not read them.
type fakeService struct {
	keeps    func(key string) bool
	latency  time.Duration // of each call
	minPart  int64
	maxParts int

	mu         sync.Mutex
	objects    map[string]fakeObject
	multiparts map[string]map[int]fakeObject
	created    int   // counts ETags and multipart uploads
	content    int64 // bytes stored, but for records
}

type fakeObject struct {
	data       []byte // nil: only the size is stored
	size       int64
	etag       string
	attributes s3store.Attributes
}

func newFakeService(minPart int64, maxParts int, keeps func(key string) bool) *fakeService {
	return &fakeService{
		keeps: keeps, minPart: minPart, maxParts: maxParts,
		objects: make(map[string]fakeObject), multiparts: make(map[string]map[int]fakeObject),
	}
}

func refused(operation string, status int, code string) error {
	return &s3store.Error{Operation: operation, Status: status, Code: code, Err: errors.New(code)}
}

// call waits for the latency, and then locks f.mu.
func (f *fakeService) call(ctx context.Context) (unlock func(), err error) {
	if f.latency > 0 {
		select {
		case <-time.After(f.latency):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	return f.mu.Unlock, nil
}

// receive reads a body and returns its object. The caller holds f.mu.
func (f *fakeService) receive(key string, body io.Reader, size int64) (fakeObject, error) {
	f.created++
	o := fakeObject{size: size, etag: fmt.Sprintf("%q", fmt.Sprint("etag ", f.created))}
	if !strings.HasSuffix(key, ".info") {
		f.content += size
		if !f.keeps(key) {
			return o, nil
		}
	}
	o.data = make([]byte, size)
	_, err := io.ReadFull(body, o.data)
	return o, err
}

func (f *fakeService) PutObject(ctx context.Context, in s3store.PutObject) (string, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	old, exists := f.objects[in.Key]
	if in.IfNoneMatch && exists || in.IfMatch != "" && in.IfMatch != old.etag {
		return "", refused("PutObject", http.StatusPreconditionFailed, "PreconditionFailed")
	}
	o, err := f.receive(in.Key, in.Body, in.Size)
	o.attributes = in.Attributes
	if o.data == nil { // bytes that are not stored cannot be verified
		o.attributes.Metadata = maps.Clone(in.Attributes.Metadata)
		delete(o.attributes.Metadata, "tusd-crc32c")
	}
	f.objects[in.Key] = o
	return o.etag, err
}

func (f *fakeService) GetObject(ctx context.Context, in s3store.GetObject) (*s3store.Object, error) {
	o, err := f.object(ctx, "GetObject", in.Key)
	if err != nil {
		return nil, err
	}
	body := io.Reader(bytes.NewReader(o.data))
	if o.data == nil {
		body = io.LimitReader(blankReader{}, o.size)
	}
	return &s3store.Object{Body: io.NopCloser(body), Size: o.size, ETag: o.etag, Attributes: o.attributes}, nil
}

func (f *fakeService) HeadObject(ctx context.Context, key string) (*s3store.Object, error) {
	o, err := f.object(ctx, "HeadObject", key)
	if err != nil {
		return nil, err
	}
	return &s3store.Object{Size: o.size, ETag: o.etag, Attributes: o.attributes}, nil
}

func (f *fakeService) object(ctx context.Context, operation, key string) (fakeObject, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return fakeObject{}, err
	}
	defer unlock()
	o, ok := f.objects[key]
	if !ok {
		return fakeObject{}, refused(operation, http.StatusNotFound, "NoSuchKey")
	}
	return o, nil
}

// read returns an object, without the latency of a call.
func (f *fakeService) read(key string) fakeObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[key]
}

func (f *fakeService) DeleteObjects(ctx context.Context, keys []string) error {
	unlock, err := f.call(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for _, key := range keys {
		delete(f.objects, key)
	}
	return nil
}

func (f *fakeService) DeleteObject(ctx context.Context, key string) error {
	return f.DeleteObjects(ctx, []string{key})
}

func (f *fakeService) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var page s3store.ObjectPage
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, in.Prefix) || key <= in.After {
			continue
		}
		if page.More = len(page.Objects) == in.Max; page.More {
			break
		}
		o := f.objects[key]
		page.Objects = append(page.Objects, s3store.ListedObject{Key: key, Size: o.size, ETag: o.etag})
	}
	return &page, nil
}

func (f *fakeService) CreateMultipart(ctx context.Context, key string, attributes s3store.Attributes) (string, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	f.created++
	multipart := fmt.Sprint("multipart ", f.created)
	f.multiparts[multipart] = map[int]fakeObject{0: {attributes: attributes}}
	return multipart, nil
}

func (f *fakeService) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	parts, ok := f.multiparts[in.Multipart]
	if !ok {
		return "", refused("UploadPart", http.StatusNotFound, "NoSuchUpload")
	}
	if in.Number < 1 || in.Number > f.maxParts {
		return "", refused("UploadPart", http.StatusBadRequest, "InvalidArgument")
	}
	o, err := f.receive(in.Key, in.Body, in.Size)
	parts[in.Number] = o
	return o.etag, err
}

func (f *fakeService) CompleteMultipart(ctx context.Context, key, multipart string, listed []s3store.Part) (string, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	parts, ok := f.multiparts[multipart]
	if !ok {
		return "", refused("CompleteMultipartUpload", http.StatusNotFound, "NoSuchUpload")
	}
	f.created++
	whole := fakeObject{etag: fmt.Sprintf("%q", fmt.Sprint("whole ", f.created)), attributes: parts[0].attributes}
	for i, p := range listed {
		o := parts[p.Number]
		if o.etag != p.ETag || o.size < f.minPart && i < len(listed)-1 {
			return "", refused("CompleteMultipartUpload", http.StatusBadRequest, "InvalidPart")
		}
		whole.size += o.size
		whole.data = append(whole.data, o.data...)
	}
	delete(f.multiparts, multipart)
	f.objects[key] = whole
	return whole.etag, nil
}

func (f *fakeService) AbortMultipart(ctx context.Context, _, multipart string) error {
	unlock, err := f.call(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	delete(f.multiparts, multipart)
	return nil
}

func (f *fakeService) CopyPart(ctx context.Context, in s3store.CopyPart) (string, error) {
	unlock, err := f.call(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	source, ok := f.objects[in.Source]
	parts, begun := f.multiparts[in.Multipart]
	if !ok || !begun {
		return "", refused("UploadPartCopy", http.StatusNotFound, map[bool]string{true: "NoSuchUpload", false: "NoSuchKey"}[ok])
	}
	o, err := f.receive(in.Key, bytes.NewReader(source.data[in.Offset:in.Offset+in.Size]), in.Size)
	parts[in.Number] = o
	return o.etag, err
}

func (*fakeService) ListParts(context.Context, string, string, int) (*s3store.PartPage, error) {
	return nil, refused("ListParts", http.StatusNotImplemented, "NotImplemented")
}

func (*fakeService) PresignGet(string, s3store.Attributes, time.Duration) (string, error) {
	return "", errors.New("not supported")
}

// blankReader is an endless reader that leaves the buffer as it is, which costs nothing.
type blankReader struct{}

func (blankReader) Read(p []byte) (int, error) { return len(p), nil }
