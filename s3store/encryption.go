package s3store

import "context"

// Encrypted returns a client with server-side encryption of all objects, records and tail
// objects included, because bucket policies may demand it. algorithm is AES256, aws:kms or
// the like; key is the id of a KMS key or "".
func Encrypted(c Client, algorithm, key string) Client {
	if algorithm == "" && key == "" {
		return c
	}
	return encrypted{c, algorithm, key}
}

type encrypted struct {
	Client
	algorithm, key string
}

func (c encrypted) Unwrap() Client { return c.Client }

func (c encrypted) PutObject(ctx context.Context, in PutObject) (etag string, err error) {
	in.Attributes.Encryption, in.Attributes.EncryptionKey = c.algorithm, c.key
	return c.Client.PutObject(ctx, in)
}

func (c encrypted) CreateMultipart(ctx context.Context, key string, a Attributes) (string, error) {
	a.Encryption, a.EncryptionKey = c.algorithm, c.key
	return c.Client.CreateMultipart(ctx, key, a)
}
