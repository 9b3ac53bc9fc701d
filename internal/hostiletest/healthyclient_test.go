//go:build linux

package hostiletest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// serveHealthy makes n uploads of 4 KiB, one after another with a pause of rest between
// them, as a healthy client. It returns the median of the time for create and PATCH.
func (to *target) serveHealthy(n int, rest time.Duration) (median time.Duration, err error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: healthyAddress}, Timeout: waitTimeout}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: anyCertificate}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: waitTimeout}
	took := make([]time.Duration, n)
	for i := range took {
		begun := time.Now()
		if err := to.upload(client); err != nil {
			return 0, fmt.Errorf("upload %d of a healthy client: %w", i, err)
		}
		took[i] = time.Since(begun)
		time.Sleep(rest) // the client's own pause
	}
	slices.Sort(took)
	return took[n/2], nil
}

func (to *target) upload(client *http.Client) error {
	const size = 4 << 10
	location, err := to.request(client, http.MethodPost, to.url(uploads), http.StatusCreated, nil,
		"Upload-Length", strconv.Itoa(size))
	if err != nil {
		return err
	}
	_, err = to.request(client, http.MethodPatch, location, http.StatusNoContent, bytes.Repeat([]byte("h"), size),
		"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	return err
}

func (to *target) request(client *http.Client, method, url string, want int, body []byte, header ...string) (location string, err error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("%s: %s: %s", method, answer.Status, text)
	}
	return answer.Header.Get("Location"), err
}
