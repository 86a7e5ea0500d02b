package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/kafka/auth"
)

// headStart is how long an address has for itself before the next one is asked as well.
const headStart = 250 * time.Millisecond

// firstContact returns once a bootstrap server has answered, and one of the brokers that
// it sends clients on to. Both have the connect timeout.
func (c *Client) firstContact(ctx context.Context) error {
	deadline, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	waiting := c.waits.begin(ctx, "an answer of "+strings.Join(c.seeds, ", "), c.cfg.ConnectTimeout)
	defer waiting.end()
	waiting.knows = true
	var last *contactError
	for told := false; ; {
		err := c.contact(deadline)
		if err == nil {
			return nil
		}
		if end, _ := deadline.Deadline(); last == nil || time.Until(end) > firstRetryWait {
			last = err // what comes of a try at the very end is only that there was no time
		}
		waiting.came(last)
		if last.prompt && !last.final && !told {
			told = true
			waiting.tell(ctx)
		}
		if last.final || !pause(deadline, firstRetryWait) {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return &unreachableError{last}
}

// unreachableError is a contactError that is the end.
type unreachableError struct{ *contactError }

func (e *unreachableError) Error() string {
	return fmt.Sprintf("connect: %v: %s", coldstream.ErrUnreachable, e.text)
}

func (e *unreachableError) Unwrap() []error {
	return []error{coldstream.ErrUnreachable, e.contactError}
}

// contact tries once.
func (c *Client) contact(ctx context.Context) *contactError {
	answer, failed := c.askSeeds(ctx)
	if answer == nil {
		return join("", failed)
	}
	if len(answer.resp.Brokers) == 0 {
		return &contactError{text: answer.address + " answers, and its answer names no brokers", hint: hintSilent}
	}
	if err := c.turnTo(ctx, answer.address); err != nil {
		return err
	}
	failed = c.askAdvertised(ctx, answer.resp)
	if failed == nil {
		return nil
	}
	err := join(answer.address+" answers, and names brokers that do not answer here: ", failed)
	_, port, _ := net.SplitHostPort(answer.address) // it was put together here
	err.hint = fmt.Sprintf("the addresses are advertised.listeners of the brokers, for the listener of port %s: correct them there,"+
		" or make their names known here (DNS, /etc/hosts), or name another listener whose addresses can be reached from here", port)
	if len(failed) == 1 && failed[0].final {
		err.hint = failed[0].hint
	}
	return err
}

// join makes one error of those of several addresses. Another try is useless only if it is
// for all of them.
func join(text string, errs []*contactError) *contactError {
	joined := &contactError{final: true, prompt: true, hint: errs[0].hint, input: errs[0].input}
	var texts []string
	var causes []error
	for _, err := range errs {
		texts, causes = append(texts, err.text), append(causes, err)
		joined.final = joined.final && err.final
		joined.prompt = joined.prompt && (err.prompt || err.final)
		if err.final {
			joined.hint = err.hint
		}
	}
	if more := len(texts) - namedBrokers; more > 0 {
		texts = append(texts[:namedBrokers], fmt.Sprintf("and %d more", more))
	}
	joined.text, joined.cause = text+strings.Join(texts, "; "), errors.Join(causes...)
	return joined
}

// seedAnswer is what a bootstrap server says.
type seedAnswer struct {
	address string
	resp    *kmsg.MetadataResponse
}

// askSeeds asks the bootstrap servers for the brokers; the first answer counts.
func (c *Client) askSeeds(ctx context.Context) (*seedAnswer, []*contactError) {
	seeds := c.kgo.SeedBrokers()
	addresses := c.seeds
	return firstOf(ctx, len(seeds), func(ctx context.Context, i int) (*seedAnswer, *contactError) {
		resp, err := c.visit(ctx, seeds[i], addresses[i], expectedBroker{})
		return &seedAnswer{addresses[i], resp}, err
	})
}

// turnTo makes the library learn where the brokers are, from a server that answers, and
// forget the other ones: it chooses among them by chance, and one that takes a request and
// never answers would hold up whatever comes to it.
func (c *Client) turnTo(ctx context.Context, seed string) *contactError {
	var err error
	if len(c.seeds) > 1 {
		c.seeds = []string{seed}
		err = c.kgo.UpdateSeedBrokers(seed)
	}
	if err == nil {
		_, err = within(ctx, func() (*kmsg.MetadataResponse, error) { return c.brokers(ctx) })
	}
	if err != nil {
		return &contactError{text: fmt.Sprintf("%s: %v", seed, err), hint: hintSilent, cause: err}
	}
	return nil
}

// askAdvertised asks the brokers that a bootstrap server named, until one answers. It
// returns nil then, else why not, for each.
func (c *Client) askAdvertised(ctx context.Context, cluster *kmsg.MetadataResponse) []*contactError {
	c.waits.see(brokersOf(cluster))
	var clusterID string
	if cluster.ClusterID != nil {
		clusterID = *cluster.ClusterID
	}
	_, failed := firstOf(ctx, len(cluster.Brokers), func(ctx context.Context, i int) (*kmsg.MetadataResponse, *contactError) {
		b := cluster.Brokers[i]
		want := expectedBroker{clusterID, b.NodeID}
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		resp, err := c.visit(ctx, c.kgo.Broker(int(b.NodeID)), address, want)
		if err == nil && resp.ClusterID != nil && clusterID != "" && *resp.ClusterID != clusterID {
			err = errMisrouted(address, want, "the cluster there is "+*resp.ClusterID)
		}
		if err != nil {
			err.text = fmt.Sprintf("broker %d at %s", b.NodeID, err.text)
		}
		return resp, err
	})
	return failed
}

// visit asks a broker which brokers there are. Where that brings nothing, a look at the port
// says why.
func (c *Client) visit(ctx context.Context, broker *kgo.Broker, address string, want expectedBroker) (*kmsg.MetadataResponse, *contactError) {
	answered := start(func() (kmsg.Response, error) {
		return broker.Request(ctx, metadataOf())
	})
	var found *contactError
	timer := time.NewTimer(lookAfter(ctx))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if found = c.look(ctx, address, want); found != nil && found.final {
				return nil, found
			}
		case a := <-answered:
			if resp, ok := a.value.(*kmsg.MetadataResponse); ok && a.err == nil {
				return resp, nil
			}
			return nil, c.explain(ctx, address, want, a.err)
		case <-ctx.Done():
			if found == nil {
				found = &contactError{text: address + " does not answer in time", hint: hintSilent, cause: ctx.Err()}
			}
			return nil, found
		}
	}
}

// lookAfter is how long a broker may take to answer until there is a look at its port: so
// that there is time left for that.
func lookAfter(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(tellAfter, time.Until(end)/2)
	}
	return tellAfter
}

// look is probe, and nil if it found nothing.
func (c *Client) look(ctx context.Context, address string, want expectedBroker) *contactError {
	var found *contactError
	if errors.As(probe(ctx, c.cfg.Auth, address, want), &found) && ctx.Err() == nil {
		return found
	}
	return nil
}

// explain says why an address did not serve us. A look at the port tells more than the
// library's error, where there is a port.
func (c *Client) explain(ctx context.Context, address string, want expectedBroker, err error) *contactError {
	var dial *net.OpError
	found := &contactError{text: fmt.Sprintf("%s: %v", address, err), hint: hintSilent, cause: err}
	login := c.explainLogin(address, err)
	switch {
	case err == nil:
		found.text = address + " answers something else than it was asked"
		return found
	case login == nil && errors.As(err, &dial) && dial.Op == "dial":
		errors.As(dialError(address, err), &found)
		return found
	}
	if login == nil || !c.cfg.Auth.Encrypts() && !c.cfg.Auth.LogsIn() || errors.Is(err, kerr.UnsupportedSaslMechanism) {
		if seen := c.look(ctx, address, want); seen != nil {
			return seen
		}
	}
	return cmp.Or(login, found)
}

// explainLogin is nil for errors that are not about TLS and logins.
func (c *Client) explainLogin(address string, err error) *contactError {
	var login *auth.LoginError
	if !errors.As(c.cfg.Auth.Explain(err), &login) {
		return nil
	}
	return &contactError{text: address + ": " + login.Error(), hint: login.Hint(), input: login.Input(), cause: login, final: login.Definite()}
}

// firstOf asks several, one after the other with a head start each, until one answers. If
// none does it returns why, for each.
func firstOf[T any](ctx context.Context, n int, ask func(ctx context.Context, i int) (*T, *contactError)) (*T, []*contactError) {
	type outcome struct {
		i     int
		value *T
		err   *contactError
	}
	outcomes := make(chan outcome, n)
	failed := make([]*contactError, n)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begun, ended := 0, 0; ended < n; {
		next := timer.C
		if begun == n {
			next = nil
		}
		select {
		case <-next:
			i := begun
			begun++
			timer.Reset(headStart)
			go func() {
				value, err := ask(ctx, i)
				outcomes <- outcome{i, value, err}
			}()
		case a := <-outcomes:
			if a.err == nil {
				return a.value, nil
			}
			failed[a.i] = a.err
			ended++
			timer.Reset(0)
		}
	}
	return nil, failed
}

// answer is what start's call came to.
type answer[T any] struct {
	value T
	err   error
}

// start calls ask in a goroutine that may outlive the caller's context, and not the client:
// for the first answer on a connection the library waits without an eye on it.
func start[T any](ask func() (T, error)) <-chan answer[T] {
	answered := make(chan answer[T], 1)
	go func() {
		value, err := ask()
		answered <- answer[T]{value, err}
	}()
	return answered
}

// within returns when ctx is done, also where the library waits longer.
func within[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	select {
	case a := <-start(ask):
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("nothing was answered: %w", ctx.Err())
	}
}

func brokersOf(resp *kmsg.MetadataResponse) []coldstream.Broker {
	var out []coldstream.Broker
	for _, b := range resp.Brokers {
		broker := coldstream.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		out = append(out, broker)
	}
	slices.SortFunc(out, func(a, b coldstream.Broker) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
