// Package alarm tells others of a continuous backup: that it is well, to a dead man's switch, and
// what happened, to a command. None of it holds the backup up, and no secret of a URL is ever told.
package alarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"coldstream/internal/program"
)

const (
	heartbeatTime = 10 * time.Second // that a request may take
	maxAnswer     = 64 << 10
)

// Heartbeat asks a URL again and again while all is well. Whoever is behind the URL notices when
// it stops.
type Heartbeat struct {
	target *url.URL
	client *http.Client
	// Every is how often it is asked.
	Every time.Duration
	// Well says that the backup does its work.
	Well func() bool
	// Done is told of each request; err tells no more of the URL than its host.
	Done func(err error)
}

// NewHeartbeat checks the URL. Its path is a secret, and in no error.
func NewHeartbeat(address string, every time.Duration) (*Heartbeat, error) {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("the URL of the heartbeat is not of the form https://HOST/PATH")
	}
	return &Heartbeat{target: target, client: &http.Client{Timeout: heartbeatTime}, Every: every}, nil
}

// Run sends heartbeats until ctx is done.
func (h *Heartbeat) Run(ctx context.Context) {
	ticker := time.NewTicker(h.Every)
	defer ticker.Stop()
	for {
		if h.Well() {
			if err := h.send(ctx); ctx.Err() == nil {
				h.Done(err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *Heartbeat) send(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.target.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("heartbeat to %s: the request cannot be made", h.target.Host)
	}
	req.Header.Set("User-Agent", program.UserAgent())
	resp, err := h.client.Do(req)
	if err != nil {
		var inner *url.Error // its text has the whole URL
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("heartbeat to %s: %w", h.target.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	if resp.StatusCode >= 300 {
		return fmt.Errorf("heartbeat to %s: it answers %d %s", h.target.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}
