//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

// awaitSize waits until a file has want bytes.
func awaitSize(name string, want int64) error {
	return await(fmt.Sprintf("%s has not got %d bytes", name, want), func() (bool, error) {
		data, err := os.Stat(name)
		return err == nil && data.Size() == want, err
	})
}

// await waits until condition is true. otherwise completes the error "after 30s ...".
func await(otherwise string, condition func() (bool, error)) error {
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(time.Millisecond) {
		if done, err := condition(); done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v %s", waitTimeout, otherwise)
		}
	}
}

// headUntilAnswered repeats HEAD while the answer is a transient error, or a final
// upload is still being built, as clients do. It gives up after waitTimeout.
func headUntilAnswered(c *tusclient.Client, path string) (tusclient.Answer, error) {
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(20 * time.Millisecond) {
		answer, err := c.Head(path)
		building := answer.Status == http.StatusOK && answer.Offset() < 0 && answer.Header.Get("Upload-Concat") != ""
		if err != nil || !answer.Transient() && !building {
			return answer, err
		}
		if time.Now().After(deadline) {
			return answer, fmt.Errorf("HEAD %s: for %v nothing but %v", path, waitTimeout, answer)
		}
	}
}
