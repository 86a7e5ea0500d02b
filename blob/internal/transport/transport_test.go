package transport_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coldstream/blob"
	"coldstream/blob/internal/transport"
)

// get reads all of an answer, and diagnoses what went wrong.
func get(t *testing.T, url string, opts transport.Options) (string, error) {
	t.Helper()
	wires, err := transport.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer wires.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport.Asking{RoundTripper: wires}}).Get(url)
	if err != nil {
		return "", transport.Diagnose(t.Context(), err)
	}
	body := &transport.Body{Ctx: t.Context(), ReadCloser: answer.Body}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestAConnectionWithoutAByteEnds(t *testing.T) {
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("the first half"))
			w.(http.Flusher).Flush()
		}
		<-over
	}))
	defer server.Close()
	defer close(over)
	for _, path := range []string{"/none", "/half"} {
		if _, err := get(t, server.URL+path, transport.Options{Idle: 100 * time.Millisecond}); !errors.Is(err, blob.ErrTemporary) {
			t.Errorf("%s: %v, want that it ends for the time being", path, err)
		}
	}
}

// TestASlowConnectionGoesOn takes far longer than a connection may be without a byte.
func TestASlowConnectionGoesOn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 60 {
			<-tick.C
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
	}))
	defer server.Close()
	if text, err := get(t, server.URL, transport.Options{Idle: 2 * time.Second}); err != nil || len(text) != 60 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("well")) }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := get(t, server.URL, transport.Options{CAFile: file}); err != nil || text != "well" {
		t.Errorf("with ca_file: %q, %v", text, err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for url, says := range map[string]string{
		server.URL: "ca_file",
		strings.Replace(plain.URL, "http://", "https://", 1): "endpoint=http://",
	} {
		_, err := get(t, url, transport.Options{})
		var failure *blob.Failure
		if !errors.As(err, &failure) || !strings.Contains(failure.Hint(), says) || errors.Is(err, blob.ErrTemporary) {
			t.Errorf("%v, want what to do (%s), and no other try", err, says)
		}
	}
	if _, err := transport.New(transport.Options{CAFile: server.URL}); err == nil {
		t.Error("a file of certificates that is missing is no error")
	}
}
