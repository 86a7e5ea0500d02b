package storetest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Fault is what a [Proxy] does to a request; the zero value passes it on.
type Fault struct {
	// Status is answered without asking the server.
	Status int
	// Lose passes the request on and closes the connection in place of the answer.
	Lose bool
	// Cut closes the connection at half of the answer's body.
	Cut bool
	// Delay is waited before the request is passed on.
	Delay time.Duration
}

// Proxy stands between clients and a server, counts requests, and makes trouble.
type Proxy struct {
	Endpoint string

	upstream string
	fault    func(n int, r *http.Request) Fault
	mu       sync.Mutex
	requests []string
}

// NewProxy starts a proxy to the server at an endpoint. The function says what becomes of
// the n-th request, counted from 1; nil passes all on.
func NewProxy(tb TB, endpoint string, fault func(n int, r *http.Request) Fault) *Proxy {
	tb.Helper()
	if fault == nil {
		fault = func(int, *http.Request) Fault { return Fault{} }
	}
	p := &Proxy{upstream: strings.TrimPrefix(endpoint, "http://"), fault: fault}
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.Endpoint = server.URL
	return p
}

// Requests are those since the last call, as "METHOD KIND", where the kind of a GET is
// list or object.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.requests
	p.requests = nil
	return out
}

// Count is how many requests there were since the last call of Requests.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

func (p *Proxy) note(r *http.Request) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := "object"
	if query := r.URL.Query(); query.Has("list-type") || query.Has("prefix") {
		kind = "list"
	}
	p.requests = append(p.requests, r.Method+" "+kind)
	return len(p.requests)
}

// ServeHTTP is [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.fault(p.note(r), r)
	if f.Delay > 0 {
		wait := time.NewTimer(f.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return
		}
	}
	if f.Status > 0 {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(f.Status)
		_, _ = fmt.Fprintf(w, "<Error><Code>Trouble%d</Code><Message>made by a proxy</Message></Error>", f.Status)
		return
	}
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", p.upstream // the Host that was signed stays
	out.Header.Del("Expect")
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close() //nolint:errcheck // all was read, or nothing is wanted
	body, err := io.ReadAll(answer.Body)
	if err != nil || f.Lose {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	if f.Cut {
		body = body[:len(body)/2]
	}
	_, _ = io.Copy(w, bytes.NewReader(body))
	if f.Cut {
		panic(http.ErrAbortHandler)
	}
}
