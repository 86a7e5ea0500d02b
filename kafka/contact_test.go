package kafka

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/kafka/kafkatest"
)

// told is an observer that keeps what was waited for.
type told struct {
	mu    sync.Mutex
	waits []coldstream.Waiting
	more  chan struct{} // one for each
}

func newTold() *told { return &told{more: make(chan struct{}, 100)} }

func (o *told) Observe(event coldstream.Event) {
	if w, ok := event.(*coldstream.Waiting); ok {
		o.mu.Lock()
		o.waits = append(o.waits, *w)
		o.mu.Unlock()
		o.more <- struct{}{}
	}
}

func (o *told) all() []coldstream.Waiting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]coldstream.Waiting(nil), o.waits...)
}

// refused connects to what cannot be reached and returns the error.
func refused(t *testing.T, timeout time.Duration, observer coldstream.Observer, addresses ...string) error {
	t.Helper()
	c, err := Connect(t.Context(), Config{Bootstrap: addresses, ConnectTimeout: timeout, Observer: observer})
	if err == nil {
		c.Close()
		t.Fatal("connected")
	}
	var hinted interface{ Hint() string }
	if !errors.Is(err, coldstream.ErrUnreachable) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("got %v, want ErrUnreachable with a hint", err)
	}
	return err
}

func saysAll(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("got %q, want %q in it", text, w)
		}
	}
}

const (
	long  = 5 * time.Minute // what fails at once does not need it
	short = time.Second
)

func TestPortsThatServeNoClientsAreNamed(t *testing.T) {
	c := realCluster(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for _, test := range []struct {
		name, address string
		want          []string
	}{
		{"a controller", c.ListenerAddrs("CONTROLLER")[0], []string{"controller listener of a KRaft node"}},
		{"a web server", web.Listener.Addr().String(), []string{"is an HTTP server"}},
		{"a web server with TLS", secure.Listener.Addr().String(), []string{"speaks TLS", "plaintext"}},
		{"a broker with TLS", c.ListenerAddrs(kafkatest.SSL)[0], []string{"speaks TLS", "plaintext"}},
		{"a broker that wants a certificate", c.ListenerAddrs(kafkatest.MutualTLS)[0], []string{"speaks TLS", "plaintext"}},
		{"a broker with a login", c.ListenerAddrs(kafkatest.SASLPlaintext)[0], []string{"asks for a login", "SCRAM-SHA-256"}},
		{"another server", talker(t, "220 mail.example.com ESMTP\r\n"), []string{"is not a Kafka broker", "220 mail.example.com"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := refused(t, long, nil, test.address)
			saysAll(t, err.Error(), append(test.want, test.address)...)
			if asks := strings.Contains(err.Error(), "SASL"); asks != (test.name == "a broker with a login") {
				t.Errorf("%v", err)
			}
		})
	}
}

// talker is a server that says something to whoever connects, and no more.
func talker(t *testing.T, says string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Write([]byte(says))
		}
	}()
	return l.Addr().String()
}

func TestRefusedIsToldAtOnceAndTriedAgain(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:1": "connection refused", "no-such-host.invalid:9092": "no such host"} {
		o := newTold()
		err := refused(t, short, o, address)
		saysAll(t, err.Error(), address, want)
		waits := o.all()
		if len(waits) != 1 || waits[0].Elapsed >= tellAfter || waits[0].AtMost != short {
			t.Fatalf("%s: told %+v, want one word", address, waits)
		}
		saysAll(t, waits[0].For+": "+waits[0].Cause, address, want)
	}
}

func TestAServerThatSaysNothingIsNamed(t *testing.T) {
	silent := talker(t, "")
	saysAll(t, refused(t, short, nil, silent).Error(), silent, "answers nothing")
}

func TestOneBootstrapServerIsEnough(t *testing.T) {
	fake := startFake(t)
	c := connect(t, []string{"127.0.0.1:1", talker(t, ""), fake.addrs[0]}, time.Minute)
	if _, err := c.Metadata(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestAdvertisedAddressesThatDoNotAnswerAreNamed(t *testing.T) {
	at := realCluster(t).ListenerAddrs(nowhereListener)[0]
	o := newTold()
	err := refused(t, short, o, at)
	saysAll(t, err.Error(), at, "broker 1 at 127.0.0.1:1", "connection refused")
	var hinted interface{ Hint() string }
	errors.As(err, &hinted)
	_, port, _ := net.SplitHostPort(at)
	saysAll(t, hinted.Hint(), "advertised.listeners", port)
	if len(o.all()) != 1 {
		t.Errorf("told %+v", o.all())
	}
}

// advertise makes an embedded cluster say that its only broker is elsewhere.
func (c *cluster) advertise(t *testing.T, clusterID, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	c.fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.MetadataResponse)
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: 0, Host: host, Port: int32(number)})
		resp.ClusterID = &clusterID
		return resp, nil, true
	})
}

func TestAnAddressOfAnotherClusterIsNamed(t *testing.T) {
	other := startFake(t, kfake.ClusterID("another"))
	for name, address := range map[string]string{"older": other.addrs[0], "4.4": realCluster(t).Addrs()[0]} {
		t.Run(name, func(t *testing.T) {
			c := startFake(t)
			c.advertise(t, "the-cluster", address)
			err := refused(t, long, nil, c.addrs[0])
			saysAll(t, err.Error(), c.addrs[0], address, "belongs to another cluster")
		})
	}
}

func TestProbeAsksWhoABrokerIs(t *testing.T) {
	c := startReal(t)
	cluster, err := c.Metadata(t.Context(), []string{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want  expectedBroker
		right bool
	}{
		{expectedBroker{cluster.ID, cluster.Brokers[0].ID}, true},
		{expectedBroker{cluster.ID, 77}, false},
		{expectedBroker{"of-another-cluster", cluster.Brokers[0].ID}, false},
	} {
		err := probe(t.Context(), nil, c.addrs[0], test.want)
		if (err == nil) != test.right {
			t.Errorf("%+v: %v", test.want, err)
		}
		if err != nil {
			saysAll(t, err.Error(), "REBOOTSTRAP_REQUIRED", c.addrs[0])
		}
	}
}

// TestWaitsAreTold: whatever waits says so, with what stands in the way.
func TestWaitsAreTold(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 10)
	tp := plan[0].TopicPartition
	c.changeMetadata(t, tp.Topic, func(topic *kmsg.MetadataResponseTopic) bool {
		topic.Partitions[0].Leader = -1
		return true
	})
	for name, wait := range map[string]func(ctx context.Context, c *Client){
		"ends of the logs": func(ctx context.Context, c *Client) {
			_, _ = c.LogOffsets(ctx, []coldstream.TopicPartition{tp})
		},
		"records of partitions": func(ctx context.Context, c *Client) { _ = c.Fetch(ctx, plan, &recorder{}) },
		"acknowledgment of records": func(ctx context.Context, c *Client) {
			produceOne(ctx, c, tp, plan[0].TopicID, batchOf(coldstream.ProducerIdentity{ID: 1}, 0, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, c.addrs, time.Minute)
			o := newTold()
			client.waits.observer, client.waits.after = o, 50*time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			var waiting sync.WaitGroup
			waiting.Go(func() { wait(ctx, client) })
			<-o.more
			cancel()
			waiting.Wait()
			got := o.all()[0]
			saysAll(t, got.For, name)
			saysAll(t, got.Cause, tp.String(), "no leader")
			if got.AtMost != time.Minute {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAWaitNamesBrokersThatAreAway(t *testing.T) {
	c := startFake(t)
	client := connect(t, c.addrs, time.Minute)
	o := newTold()
	client.waits.observer, client.waits.after = o, 50*time.Millisecond
	c.fake.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = client.Metadata(ctx, nil) })
	<-o.more
	cancel()
	waiting.Wait()
	saysAll(t, o.all()[0].Cause, "broker 0 cannot be reached", "connection refused", c.addrs[0])
}
