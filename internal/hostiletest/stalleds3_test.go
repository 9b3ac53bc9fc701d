//go:build linux

package hostiletest

import (
	"testing"
	"time"

	"github.com/tus/tusd/internal/s3server"
)

// TestStalledUploadsToS3 sends 40 uploads over HTTP/2 while the service accepts no part.
// The windows of the streams take memory, too.
func TestStalledUploadsToS3(t *testing.T) {
	runAttacks(t, func(tb testing.TB) *target { return onS3(tb, "-s3-buffer-memory", "33554432") }, []attack{
		{name: "stalled uploads over HTTP/2", run: stalledUploads},
	})
}

func stalledUploads(a *attacker) error {
	release := make(chan struct{})
	defer close(release)
	a.bucket.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == "UploadPart" {
			return s3server.Outcome{Until: release}
		}
		return s3server.Outcome{}
	})
	defer a.bucket.Fault(nil)
	err := a.parallel(40, func(int) error {
		path, err := a.create(1 << 30)
		if err != nil {
			return err
		}
		c, err := a.dialHTTP2(http2Options{})
		if err != nil {
			return err
		}
		id, err := c.openStreamAndFlush("PATCH", path, false, "Upload-Offset: 0", offsetStream)
		if err != nil {
			return err
		}
		go func() { // until the connection is closed
			for content := make([]byte, 16<<10); c.reserveWindow(int64(len(content))); {
				if c.writeAndFlush(func() error { return c.WriteData(id, false, content) }) != nil {
					return
				}
			}
		}()
		return nil
	})
	if err != nil {
		return err
	}
	a.sleep(2 * time.Second)
	return a.waitForEnd()
}
