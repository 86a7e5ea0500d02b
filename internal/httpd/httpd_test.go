package httpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type served struct {
	*testing.T
	address string
	notYet  atomic.Pointer[error]
	end     func() error
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{T: t}
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, listener, Options{
			Ready: func() error {
				if err := s.notYet.Load(); err != nil {
					return *err
				}
				return nil
			},
			Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics\n") }),
			Status:  func(p Partitions) (any, bool) { return map[string]any{"partitions": bool(p)}, true },
		})
	}()
	s.end = func() error { cancel(); return <-done }
	t.Cleanup(cancel)
	return s
}

func (s *served) get(method, path string) string {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, "http://"+s.address+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(body)))
}

func TestEndpoints(t *testing.T) {
	s := serve(t)
	away := errors.New("waiting for the storage")
	check := func(method, path, want string) {
		t.Helper()
		if got := s.get(method, path); got != want {
			t.Errorf("%s %s: %q, want %q", method, path, got, want)
		}
	}
	check("GET", "/livez", "200 ok")
	check("GET", "/readyz", "200 ok")
	check("GET", "/metrics", "200 metrics")
	check("GET", "/api/v1/status", `200 {"partitions":false}`)
	check("GET", "/api/v1/status?partitions=true", `200 {"partitions":true}`)
	check("GET", "/", "404 404 page not found")
	check("POST", "/livez", "405 Method Not Allowed")
	s.notYet.Store(&away)
	check("GET", "/readyz", "503 waiting for the storage")
	check("GET", "/livez", "200 ok")
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", s.address, time.Second); err == nil {
		t.Error("it still listens")
	}
}

// TestConnectionsAreBounded: those that are too many wait, and get in once others go.
func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t)
	var open []net.Conn
	for range maxConnections {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatal(line, err)
		}
		open = append(open, conn)
	}
	late := make(chan string, 1)
	go func() { late <- s.get("GET", "/livez") }()
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-late:
		if got != "200 ok" {
			t.Error(got)
		}
	case <-time.After(30 * time.Second):
		t.Error("a connection that was waiting does not get in")
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}
