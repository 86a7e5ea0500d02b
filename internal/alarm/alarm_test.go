package alarm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secret = "s3cr3t-path"

func TestHeartbeat(t *testing.T) {
	var asked atomic.Int64
	var code atomic.Int64
	code.Store(200)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+secret && asked.Add(1) > 0 {
			w.WriteHeader(int(code.Load()))
		}
	}))
	defer server.Close()
	h, err := NewHeartbeat(server.URL+"/"+secret, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var well atomic.Bool
	well.Store(true)
	h.Well = well.Load
	results := make(chan error)
	h.Done = func(err error) { results <- err }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	if err := <-results; err != nil {
		t.Error(err)
	}
	code.Store(404)
	for {
		if err := <-results; err != nil {
			if !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v", err)
			}
			break
		}
	}
	server.Close()
	for {
		err := <-results
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Fatalf("error %v", err)
		}
		if !strings.Contains(err.Error(), "404") {
			break
		}
	}
	well.Store(false)
	cancel()
	for isOver := false; !isOver; {
		select {
		case err := <-results: // one may be under way
			t.Log(err)
		case <-ended:
			isOver = true
		}
	}
	for _, bad := range []string{"", "/" + secret, "ftp://host/" + secret, "http://%zz/" + secret} {
		if _, err := NewHeartbeat(bad, time.Second); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("URL %q: error %v", bad, err)
		}
	}
}

type result struct {
	result string
	err    error
}

func commandOf(t *testing.T, line string) (*Command, chan result) {
	t.Helper()
	c := NewCommand(line)
	results := make(chan result, 2*maxQueued)
	c.Done = func(r string, err error) { results <- result{r, err} }
	return c, results
}

// TestCommandGetsEvents: as JSON on stdin, with its kind in the environment.
func TestCommandGetsEvents(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c, results := commandOf(t, `test "$COLDSTREAM_EVENT-$COLDSTREAM_TOPIC" = gap-orders && cat > '`+out+`'`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	first := int64(7)
	c.Tell(Event{Event: KindGap, Topic: "orders", FirstOffset: &first})
	if r := <-results; r.result != ResultOK {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got Event
	if err := json.Unmarshal(b, &got); err != nil || got.SchemaVersion != 1 || *got.FirstOffset != 7 {
		t.Errorf("%s: %v", b, err)
	}
}

// TestCommandIsBounded: one that fails is told with what it said, one that hangs is ended with all
// that it started, and what is too much is dropped.
func TestCommandIsBounded(t *testing.T) {
	c, results := commandOf(t, `read -r line; case "$COLDSTREAM_TOPIC" in hang) sleep 600 & wait;; *) echo no such channel >&2; exit 3;; esac`)
	c.Timeout = 10 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range maxQueued + 3 {
		c.Tell(Event{Event: KindRPO})
	}
	for range 3 {
		if r := <-results; r.result != ResultDropped || r.err == nil {
			t.Errorf("%+v", r)
		}
	}
	go c.Run(ctx)
	for range maxQueued {
		if r := <-results; r.result != ResultFailed || !strings.Contains(r.err.Error(), "exit status 3: no such channel") {
			t.Fatalf("%+v", r)
		}
	}
	hanging, results := commandOf(t, "sleep 600 & wait")
	hanging.Timeout = 100 * time.Millisecond
	go hanging.Run(ctx)
	began := time.Now()
	hanging.Tell(Event{Event: KindDamage})
	if r := <-results; r.result != ResultFailed || !strings.Contains(r.err.Error(), "longer than 100ms") || time.Since(began) > 20*time.Second {
		t.Errorf("%+v after %s", r, time.Since(began))
	}
}
