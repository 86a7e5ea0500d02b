// Package httpd serves what a continuous backup tells of itself over HTTP: whether it lives, whether it
// is ready, metrics, and its status. It only reads, knows no users, and bounds what a client can
// cost.
package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options say what is served.
type Options struct {
	// Ready says why the backup does not work now; nil if it does.
	Ready func() error
	// Metrics serves /metrics.
	Metrics http.Handler
	// Status is the document of /api/v1/status, with partitions or without; false while there is
	// none.
	Status func(partitions Partitions) (document any, ok bool)
}

// Partitions says whether partitions are listed.
type Partitions bool

const (
	maxConnections = 64
	maxHeader      = 16 << 10
	shutdownTime   = 2 * time.Second
)

// Listen takes the address, so that it fails before anything else begins.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	b := &bounded{Listener: listener, room: make(chan struct{}, maxConnections), closed: make(chan struct{})}
	b.shut = sync.OnceFunc(func() { close(b.closed) })
	return b, nil
}

// Serve serves until ctx is done, and closes the listener.
func Serve(ctx context.Context, listener net.Listener, opts Options) error {
	server := &http.Server{
		Handler:           handler(&opts),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close() // who is slow is cut off
		}
	})
	err := server.Serve(listener)
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
}

func handler(opts *Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := opts.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", opts.Metrics)
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, r *http.Request) {
		document, ok := opts.Status(Partitions(r.URL.Query().Get("partitions") == "true"))
		if !ok {
			text(w, http.StatusServiceUnavailable, "the backup has not begun")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(document) // the client is gone
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, line+"\n") // the client is gone
}

// bounded is a listener with so many connections at most; others wait.
type bounded struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	shut   func()
}

// Accept is [net.Listener].
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-b.room })}, nil
}

// Close is [net.Listener]. Who waits for room to accept waits no more.
func (b *bounded) Close() error {
	b.shut()
	return b.Listener.Close()
}

type counted struct {
	net.Conn
	leave func()
}

// Close is [net.Conn].
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
