package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tus/tusd"
)

// runningPath is the path of the page with the requests whose content is being received.
// Ids of uploads give access to them, so only the admin server has it.
const runningPath = "/running"

// runningRequest is a request as the page and tusd ls -running -json have it.
type runningRequest struct {
	ID        string    `json:"id"`
	Method    string    `json:"method"`
	RequestID string    `json:"request_id"`
	Client    string    `json:"client"`
	Since     time.Time `json:"since"`
	Offset    int64     `json:"offset"`
	Received  int64     `json:"received"`
}

// runningPage serves the running requests as an array, the oldest first.
func runningPage(uploads *tusd.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests := []runningRequest{} // never null
		for _, r := range uploads.Running() {
			requests = append(requests, runningRequest(r))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(requests) // an error means that the client has disconnected
	})
}

// The limits of a call of the page.
const (
	runningTimeout = 30 * time.Second
	maxRunningPage = 64 << 20
)

const runningColumns = "%-6s %-39s %5s %8s %8s  %-32s  %s\n"

// listRunning is tusd ls -running.
func (a *storeAccess) listRunning(ctx context.Context, l *listing) error {
	if l.classes != nil || l.older > 0 {
		return errUsage{errors.New("-running lists requests, which have neither -class nor -older-than")}
	}
	requests, err := a.cfg.monitoring.fetchRunning(ctx)
	if err != nil {
		return err
	}
	if !l.json {
		a.printf(runningColumns, "METHOD", "CLIENT", "SINCE", "OFFSET", "RECEIVED", "ID", "REQUEST ID")
	}
	for _, r := range requests {
		if l.json {
			err = a.writeJSON(r)
		} else {
			err = a.printf(runningColumns, printable(r.Method), printable(r.Client), ageOf(r.Since), shortSize(r.Offset), shortSize(r.Received), printable(r.ID), printable(r.RequestID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetchRunning asks the server at -admin-listen.
func (m monitoringSettings) fetchRunning(ctx context.Context) ([]runningRequest, error) {
	address, err := m.adminAddress()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, runningTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+runningPath, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the server at -admin-listen does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server at -admin-listen answers %s: it may be another program, or an older version", answer.Status)
	}
	var requests []runningRequest
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxRunningPage)).Decode(&requests); err != nil {
		return nil, fmt.Errorf("the answer of the server at -admin-listen: %w", err)
	}
	return requests, nil
}

// adminAddress returns the address at which the admin server of this machine is reached.
func (m monitoringSettings) adminAddress() (string, error) {
	host, port, err := net.SplitHostPort(m.adminListen)
	switch ip := net.ParseIP(host); {
	case m.adminListen == "":
		return "", errUsage{errors.New("-running asks the server, and needs its -admin-listen")}
	case err != nil:
		return "", err
	case port == "0":
		return "", errUsage{errors.New("-running needs the port of -admin-listen, not 0")}
	case host == "" || ip != nil && ip.IsUnspecified():
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
