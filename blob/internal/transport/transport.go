// Package transport is how drivers speak HTTP: a connection over which no byte goes for
// too long is closed, however long the whole of a request takes.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"coldstream/blob"
)

// DefaultIdle is how long a request may go without a byte in either direction.
const DefaultIdle = time.Minute

// Options say how connections are made.
type Options struct {
	CAFile string        // PEM certificates that are trusted besides the system's
	Idle   time.Duration // DefaultIdle if 0
	// Connections per host that are kept for reuse; as many as are used at once should be. A
	// vault's catalog is read with 128.
	Kept int
}

// New makes a transport. HTTP/2 is off: one connection each lets a hanging request be told
// from the others, and moves more.
func New(opts Options) (*http.Transport, error) {
	roots, err := rootCAs(opts.CAFile)
	if err != nil {
		return nil, err
	}
	idle := opts.Idle
	if idle <= 0 {
		idle = DefaultIdle
	}
	dialer := &net.Dialer{Timeout: min(idle, 15*time.Second), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return watch(c, idle), nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: min(idle, 15*time.Second),
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: max(opts.Kept, 128),
		IdleConnTimeout:     idle,
		// A server that knows nothing of Expect gets the body after this.
		ExpectContinueTimeout: 2 * time.Second,
		DisableCompression:    true, // what is stored is what is read
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}, nil
}

func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ca_file %s: it has no PEM certificate", file)
	}
	return roots, nil
}

// conn closes itself when no byte went either way for too long. A timer does it and no
// deadline: a long upload must move the end of the reading that waits for the answer.
type conn struct {
	net.Conn
	idle  time.Duration
	timer *time.Timer
	late  atomic.Bool
}

func watch(c net.Conn, idle time.Duration) *conn {
	w := &conn{Conn: c, idle: idle}
	w.timer = time.AfterFunc(idle, func() {
		w.late.Store(true)
		_ = c.Close()
	})
	return w
}

// Read is [net.Conn.Read].
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.moved(n, err)
}

// Write is [net.Conn.Write], in pieces small enough that a slow line shows progress.
func (c *conn) Write(p []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Conn.Write(p[done:min(len(p), done+64<<10)])
		done += n
		if err = c.moved(n, err); err != nil || done >= len(p) {
			return done, err
		}
	}
}

// Close is [net.Conn.Close].
func (c *conn) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}

func (c *conn) moved(n int, err error) error {
	switch {
	case err == nil && n > 0:
		c.timer.Reset(c.idle)
	case err != nil && c.late.Load():
		return fmt.Errorf("no byte came or went for %v: %w", c.idle, os.ErrDeadlineExceeded)
	}
	return err
}

// plainServer is what net/http says of a server without TLS; there is no error to tell it by.
const plainServer = "server gave HTTP response to HTTPS client"

// Diagnose says what a failed connection means, for errors that are no answer of the
// storage: it is [blob.ErrTemporary], or a [*blob.Failure] with what to do.
func Diagnose(ctx context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		// Told, not wrapped: it says nothing of the object's own end.
		return fmt.Errorf("the connection broke off (%v): %w", err, blob.ErrTemporary) //nolint:errorlint // as said
	case errors.As(err, &unknown):
		return &blob.Failure{Err: err, Next: "name the certificate of the authority that signed the server's, in PEM, with the option ca_file"}
	case errors.As(err, &host), errors.As(err, &invalid):
		return &blob.Failure{Err: err, Next: "the server's certificate is not valid for this endpoint: check the option endpoint and the certificate"}
	case errors.As(err, &record), strings.Contains(err.Error(), plainServer):
		return &blob.Failure{Err: err, Next: "the server speaks plain HTTP: write endpoint=http://HOST:PORT"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &blob.Failure{Err: fmt.Errorf("%w: %w", err, blob.ErrTemporary), Next: "check the option endpoint, the region, and the name of the bucket"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &blob.Failure{Err: fmt.Errorf("%w: %w", err, blob.ErrTemporary), Next: "nothing listens there: check the option endpoint, and that the storage is up"}
	}
	return fmt.Errorf("%w: %w", err, blob.ErrTemporary)
}

// IsTemporary says that an answer's status is one after which the same request may succeed.
func IsTemporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Body is the body of an answer whose errors are diagnosed.
type Body struct {
	Ctx context.Context //nolint:containedctx // of the request, whose body this is
	io.ReadCloser
}

// Read is [io.Reader.Read].
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = Diagnose(b.Ctx, err)
	}
	return n, err
}

// expectFrom is the size from which a server is asked before a body is sent: one that
// refuses answers and closes, and the answer is lost where the body still goes out.
const expectFrom = 256 << 10

// Asking asks servers before it sends them large bodies, by Expect: 100-continue.
type Asking struct{ http.RoundTripper }

// RoundTrip is [http.RoundTripper.RoundTrip].
func (a Asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.ContentLength >= expectFrom {
		r = r.Clone(r.Context())
		r.Header.Set("Expect", "100-continue")
	}
	return a.RoundTripper.RoundTrip(r)
}
