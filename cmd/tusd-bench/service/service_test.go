package service

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		s3 := httptest.NewServer(New(latency))
		defer s3.Close()
		began := time.Now()
		answer, err := http.Get(s3.URL + "/" + Bucket + "/k")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if took := time.Since(began); answer.StatusCode != http.StatusForbidden || took < latency {
			t.Errorf("status %d after %v, want 403 and at least %v", answer.StatusCode, took, latency)
		}
	}
}
