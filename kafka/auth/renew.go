package auth

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
)

// current is the Config whose credentials count.
func (c *Config) current() *Config {
	if renewed := c.renewed.Load(); renewed != nil {
		return renewed
	}
	return c
}

// Renew makes each connection and each login from now on use the certificates, passwords and tokens
// of fresh. Connections that are there stay, until their broker ends the session. What only a new
// client takes up is returned by name; if security.protocol or sasl.mechanism is among the names,
// the credentials stay as they were: they would not fit.
func (c *Config) Renew(fresh *Config) (later []string) {
	if c.protocol != fresh.protocol {
		later = append(later, "security.protocol")
	}
	if c.Mechanism() != fresh.Mechanism() {
		later = append(later, "sasl.mechanism")
	}
	if len(later) == 0 {
		c.renewed.Store(fresh)
	}
	if !slices.Equal(c.Bootstrap, fresh.Bootstrap) {
		later = append(later, "bootstrap.servers")
	}
	if c.clientID != fresh.clientID {
		later = append(later, "client.id")
	}
	for _, d := range []struct {
		name        string
		before, now time.Duration
	}{
		{"request.timeout.ms", c.requestTimeout, fresh.requestTimeout},
		{"socket.connection.setup.timeout.ms", c.setupTimeout, fresh.setupTimeout},
		{"metadata.max.age.ms", c.metadataMaxAge, fresh.metadataMaxAge},
	} {
		if d.before != d.now {
			later = append(later, d.name)
		}
	}
	return later
}

// liveMechanism logs in as the Config says at that time. Its name does not change.
type liveMechanism struct{ config *Config }

func (m liveMechanism) Name() string { return m.config.mechanism.Name() }

func (m liveMechanism) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	return m.config.current().mechanism.Authenticate(ctx, host)
}
