// Package kafka is a Source and a Target over franz-go: the only code that speaks to
// brokers. It turns the protocol's errors, leaders that move and brokers that go away
// into the promises of package coldstream.
package kafka

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/internal/program"
	"coldstream/kafka/auth"
)

const (
	clientID              = "coldstream"
	defaultPort           = "9092"
	defaultConnectTimeout = 15 * time.Second
	defaultPatience       = 10 * time.Minute
	defaultFetchBytes     = 64 << 20
	// fetchClients is the number of connections per broker that fetch: two answers of
	// 8 MiB under way moved all that one machine could take, more gained nothing.
	fetchClients  = 2
	produceLanes  = 4
	maxBrokerRead = 1 << 30 // the largest answer to a fetch: a batch may be larger than what was asked for
	// maxOtherRead is more than clusters have to say of themselves, and less than the first
	// bytes of text are as a length: what answers may be no broker.
	maxOtherRead = 256 << 20
)

// Config says how to reach a cluster.
type Config struct {
	// Bootstrap are host:port of brokers to ask first; without a port, 9092.
	Bootstrap []string
	// Auth says how to log in; nil for a cluster without TLS and logins.
	Auth *auth.Config
	// ConnectTimeout bounds the first contact; 15 s by default.
	ConnectTimeout time.Duration
	// Patience bounds how long a partition may stay unavailable; 10 minutes by default.
	Patience time.Duration
	// FetchBytes bounds the answers to fetches under way, of all brokers together; 64 MiB
	// by default.
	FetchBytes int
	// Observer is told of what is waited for; nobody by default.
	Observer coldstream.Observer
	// Hook, if it is set, gives each client of the cluster, by a short name, what watches it: a
	// [kgo.Hook].
	Hook func(client string) any
}

// Client is a connected cluster: a [coldstream.Source] and a [coldstream.Target].
type Client struct {
	cfg   Config
	seeds []string
	kgo   *kgo.Client
	adm   *kadm.Client
	lanes *lanes
	waits *waits

	closed  atomic.Bool
	clients atomic.Int32           // made so far
	written atomic.Pointer[string] // a topic that is to be written to

	fetchMu sync.Mutex
	fetches []*kgo.Client
}

var (
	_ coldstream.Source = (*Client)(nil)
	_ coldstream.Target = (*Client)(nil)
)

// Connect reaches the cluster within the connect timeout, or fails with an error
// wrapping [coldstream.ErrUnreachable]. The caller closes the client.
func Connect(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = defaultConnectTimeout
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.FetchBytes <= 0 {
		cfg.FetchBytes = defaultFetchBytes
	}
	c := &Client{cfg: cfg, lanes: newLanes(produceLanes), waits: &waits{observer: cfg.Observer, after: tellAfter}}
	for _, address := range cfg.Bootstrap {
		seed, err := hostPort(address)
		if err != nil {
			return nil, err
		}
		c.seeds = append(c.seeds, seed)
	}
	var err error
	if c.kgo, err = c.newKgo(maxOtherRead); err != nil {
		return nil, err
	}
	c.adm = kadm.NewClient(c.kgo)
	if err := c.firstContact(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// AddressError is a broker's address that is none.
type AddressError struct{ Address string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("broker address %q is not host:port", e.Address)
}

// UsageHint says how to write one.
func (e *AddressError) UsageHint() string {
	return "write host:port, or several with commas between"
}

// hostPort completes an address, and refuses what is none before anything waits for it.
func hostPort(address string) (string, error) {
	address = strings.TrimSpace(address)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if host, port, err = net.SplitHostPort(address + ":" + defaultPort); err != nil {
			return "", &AddressError{address}
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", &AddressError{address}
	}
	return net.JoinHostPort(host, port), nil
}

// newKgo makes another client for the same cluster, with connections of its own, that
// takes answers of at most so many bytes.
func (c *Client) newKgo(maxRead int32) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.seeds...),
		kgo.ClientID(clientID),
		kgo.SoftwareNameAndVersion(program.Name, program.SoftwareVersion()),
		kgo.BrokerMaxReadBytes(maxRead),
		kgo.BrokerMaxWriteBytes(maxBrokerRead),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RequestRetries(3),
		kgo.RetryTimeout(tryTimeout),
		kgo.RequestTimeoutOverhead(30 * time.Second),
	}
	if c.cfg.Hook != nil {
		opts = append(opts, kgo.WithHooks(c.cfg.Hook(strconv.Itoa(int(c.clients.Add(1))))))
	}
	client, err := kgo.NewClient(append(opts, c.cfg.Auth.Options(min(10*time.Second, c.cfg.ConnectTimeout))...)...)
	if err != nil {
		return nil, fmt.Errorf("make Kafka client: %w", err)
	}
	return client, nil
}

// Close ends all connections.
func (c *Client) Close() {
	c.closed.Store(true)
	c.kgo.Close()
	c.lanes.close()
	c.fetchMu.Lock()
	defer c.fetchMu.Unlock()
	for _, client := range c.fetches {
		client.Close()
	}
}

func (c *Client) patience() time.Duration { return c.cfg.Patience }

// Lanes is [coldstream.RecordWriter.Lanes].
func (c *Client) Lanes() int { return produceLanes }

// lane returns the connections of a produce lane.
func (c *Client) lane(n int) (*leaderTable, error) {
	return c.lanes.get(n, func() (*kgo.Client, error) { return c.newKgo(maxOtherRead) })
}
