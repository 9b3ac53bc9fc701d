//go:build linux

package faulttest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

const digestField = "Repr-Digest"

// digestOf returns the Repr-Digest of an upload with this content on a server with the
// flag -digest sha256.
func digestOf(content Content) string {
	sum := sha256.New()
	io.Copy(sum, content.Reader(0)) // cannot fail
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
}

// awaitDigest repeats HEAD until the answer has a digest, and compares it with that of
// content.
func awaitDigest(c *tusclient.Client, path string, content Content) error {
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(5 * time.Millisecond) {
		head, err := headUntilAnswered(c, path)
		if err != nil {
			return err
		}
		if err := head.Want("HEAD", http.StatusOK); err != nil {
			return err
		}
		if got := head.Header.Get(digestField); got != "" {
			return compareDigest(got, content)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("HEAD %s: no digest after %v: %v", path, waitTimeout, head)
		}
	}
}

// errDigest marks the error of a wrong digest.
var errDigest = errors.New("the digest is wrong")

func compareDigest(got string, content Content) error {
	if want := digestOf(content); got != want {
		return fmt.Errorf("%w: %s, want %s", errDigest, got, want)
	}
	return nil
}
