package auth

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// TestOptions finds what properties set in the client that is made of them.
func TestOptions(t *testing.T) {
	options := func(c *Config, timeout time.Duration) *kgo.Client {
		t.Helper()
		client, err := kgo.NewClient(append([]kgo.Opt{kgo.ClientID("coldstream"), kgo.RequestTimeoutOverhead(30 * time.Second)}, c.Options(timeout)...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	given := options(mustLoad(t, scramFile), 10*time.Second)
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"client.id", given.OptValue(kgo.ClientID), "nightly"},
		{"request.timeout.ms", given.OptValue(kgo.RequestTimeoutOverhead), 20 * time.Second},
		{"socket.connection.setup.timeout.ms", given.OptValue(kgo.DialTimeout), 3 * time.Second},
		{"metadata.max.age.ms", given.OptValue(kgo.MetadataMaxAge), time.Minute},
		{"sasl.mechanism", given.OptValue(kgo.SASL).([]sasl.Mechanism)[0].Name(), "SCRAM-SHA-256"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	var none *Config
	absent := options(none, 7*time.Second)
	if absent.OptValue(kgo.ClientID) != "coldstream" || absent.OptValue(kgo.RequestTimeoutOverhead) != 30*time.Second || absent.OptValue(kgo.DialTimeout) != 7*time.Second {
		t.Error("what is not given is not as before")
	}
	options(mustLoad(t, "metadata.max.age.ms=10\n"), time.Second) // the library wants it above its least
}

// The handshake is part of the time that a connection may take: who takes it and says
// nothing does not hold it up.
func TestSetupTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mustLoad(t, "security.protocol=SSL\nsocket.connection.setup.timeout.ms=100\n")
	client, err := kgo.NewClient(append(c.Options(time.Hour), kgo.SeedBrokers(l.Addr().String()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.Ping(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("%v %v", err, ctx.Err())
	}
}
