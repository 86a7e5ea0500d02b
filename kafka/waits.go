package kafka

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
)

const (
	// tellAfter is how long a wait may last before it is told of, and tellAgain how long
	// until the next word of it.
	tellAfter = 3 * time.Second
	tellAgain = 30 * time.Second
	// surveyTimeout bounds the look which brokers can be reached, for a better word.
	surveyTimeout = 2 * time.Second
	namedBrokers  = 3 // that cannot be reached; of others the number is told
)

// waits tells the observer what is waited for when it takes long. Nil tells nobody.
type waits struct {
	observer coldstream.Observer
	after    time.Duration // tellAfter but in tests

	mu      sync.Mutex
	told    map[string]time.Time // what was told of last, and when
	brokers map[int32]string     // addresses of all brokers that were ever seen
}

// wait is one wait under way.
type wait struct {
	waits  *waits
	what   string
	atMost time.Duration
	began  time.Time
	knows  bool               // its causes name the brokers that cannot be reached
	cancel context.CancelFunc // of what is done only to tell of the wait
	timer  *time.Timer
	saying sync.WaitGroup

	mu    sync.Mutex
	ended bool
	cause error
}

// begin notes that something is waited for from now on, for so long at most. Whoever
// calls it calls end.
func (ws *waits) begin(ctx context.Context, what string, atMost time.Duration) *wait {
	if ws == nil {
		return nil
	}
	w := &wait{waits: ws, what: what, atMost: atMost, began: time.Now()}
	ctx, w.cancel = context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(ws.after, func() { w.tell(ctx) })
	return w
}

// came notes what the last try came to.
func (w *wait) came(err error) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cause = err
}

// end is called when the wait is over. After it nothing is told.
func (w *wait) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.ended = true
	w.timer.Stop()
	w.mu.Unlock()
	w.cancel()
	w.saying.Wait()
}

// tell says that the wait goes on, and tells again later.
func (w *wait) tell(ctx context.Context) {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return
	}
	w.saying.Add(1)
	w.timer.Reset(tellAgain)
	event := &coldstream.Waiting{For: w.what, Elapsed: time.Since(w.began), AtMost: w.atMost}
	if w.cause != nil {
		event.Cause = w.cause.Error()
	}
	knows := w.knows
	w.mu.Unlock()
	defer w.saying.Done()
	switch {
	case !w.waits.isNews(event):
	case knows:
		w.waits.observer.Observe(event)
	default:
		w.waits.announce(ctx, event)
	}
}

// announce tells of a wait, and which brokers cannot be reached, unless it is over when that
// is known.
func (ws *waits) announce(ctx context.Context, event *coldstream.Waiting) {
	event.Cause = strings.Trim(event.Cause+"; "+ws.away(ctx), "; ")
	if ctx.Err() == nil {
		ws.observer.Observe(event)
	}
}

// isNews keeps several that wait for the same from saying so one after the other.
func (ws *waits) isNews(event *coldstream.Waiting) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.observer == nil {
		return false
	}
	now := time.Now()
	if last, ok := ws.told[event.For]; ok && now.Sub(last) < tellAgain/2 {
		return false
	}
	if ws.told == nil {
		ws.told = map[string]time.Time{}
	}
	ws.told[event.For] = now
	return true
}

// see notes where brokers are. One that goes away is not in the next answer any more.
func (ws *waits) see(brokers []coldstream.Broker) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.brokers == nil {
		ws.brokers = map[int32]string{}
	}
	for _, b := range brokers {
		ws.brokers[b.ID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
}

// away names the brokers that take no connection.
func (ws *waits) away(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	ws.mu.Lock()
	ids := make([]int32, 0, len(ws.brokers))
	addresses := map[int32]string{}
	for id, address := range ws.brokers {
		ids = append(ids, id)
		addresses[id] = address
	}
	ws.mu.Unlock()
	slices.Sort(ids)
	said := make([]string, len(ids))
	var asking errgroup.Group
	for i, id := range ids {
		asking.Go(func() error {
			conn, err := dialPlain(ctx, addresses[id])
			if err != nil {
				said[i] = fmt.Sprintf("broker %d cannot be reached (%v)", id, err)
				return nil
			}
			return conn.Close()
		})
	}
	_ = asking.Wait() // a connection that was made is all that was asked for
	said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
	if more := len(said) - namedBrokers; more > 0 {
		said = append(said[:namedBrokers], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}

// failuresOf is the first of several failures, and how many more there are.
func failuresOf[T any](of []T, err func(T) error) error {
	if len(of) == 0 {
		return nil
	}
	if len(of) == 1 {
		return err(of[0])
	}
	return fmt.Errorf("%w; and %d more", err(of[0]), len(of)-1)
}
