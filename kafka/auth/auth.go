// Package auth hides how a client proves who it is and whom it talks to: Java's client
// properties become options of the Kafka client, and what goes wrong at a login becomes
// a sentence that says what to change.
package auth

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Source says where properties come from.
type Source struct {
	// File is a Java properties file; none if empty.
	File string
	// Overrides are name=value, and win over the file. Errors call one OverrideName.
	Overrides    []string
	OverrideName string
	// Getenv looks variables of the environment up.
	Getenv func(string) string
}

// Config is how to reach a cluster and to log in. A nil Config is that of a cluster
// without TLS and logins. It is safe for concurrent use, also while [Config.Renew] gives it other
// credentials.
type Config struct {
	// Bootstrap is bootstrap.servers.
	Bootstrap []string
	// Warnings are sentences for the user that are no errors.
	Warnings []string
	// PassedOver are names of properties that mean something to other clients only.
	PassedOver []string
	// Files are those that values were read from. Certificates, keys, token files, keytabs and
	// tickets are not among them: they are looked at again by themselves.
	Files []File

	renewed        atomic.Pointer[Config] // whose credentials count now; nil: its own
	protocol       string
	clientID       string
	requestTimeout time.Duration
	setupTimeout   time.Duration
	metadataMaxAge time.Duration
	tls            *tlsSource // nil without TLS
	login          *login     // nil without SASL
	mechanism      sasl.Mechanism
}

// File is a file that was read, and what was in it; nil if it could not be read.
type File struct {
	Name    string
	Content []byte
}

// Input is one of the things that people give to reach a cluster. Callers know what they call it.
type Input string

// The inputs that hints speak of.
const (
	InputProperties Input = "properties" // the file
	InputAddress    Input = "address"    // of a broker
)

// Error is a mistake in what the user gave: a name, a value, a file. It holds no values.
type Error struct {
	// Where is the file and the line, or the option.
	Where string
	what  string
	hint  string
	input Input
	cause error
}

// Input is what the hint speaks of; empty if that is no one thing.
func (e *Error) Input() Input { return e.input }

func (e *Error) Error() string {
	text := e.what
	if e.Where != "" {
		text = e.Where + ": " + text
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.cause }

// UsageHint says what to write instead.
func (e *Error) UsageHint() string { return e.hint }

// Load reads properties and everything that they name. Its errors are of type *Error. With an
// error comes a Config that only has Files: those that were read until then.
func Load(src Source) (*Config, error) {
	s := &settings{byName: map[string]setting{}, getenv: src.Getenv, overrideName: cmp.Or(src.OverrideName, "override")}
	c := &Config{}
	err := s.read(src)
	if err == nil {
		err = c.take(s)
	}
	if err != nil {
		return &Config{Files: s.files}, err
	}
	c.Files = s.files
	return c, nil
}

func (c *Config) take(s *settings) error {
	if err := s.checkNames(c); err != nil {
		return err
	}
	return c.understand(s)
}

const (
	plaintext     = "PLAINTEXT"
	overTLS       = "SSL"
	saslPlaintext = "SASL_PLAINTEXT"
	saslTLS       = "SASL_SSL"
)

// understand turns settings into what they mean.
func (c *Config) understand(s *settings) error {
	for _, server := range strings.Split(s.value("bootstrap.servers"), ",") {
		if server = strings.TrimSpace(server); server != "" {
			c.Bootstrap = append(c.Bootstrap, server)
		}
	}
	c.clientID = s.value("client.id")
	for name, d := range map[string]*time.Duration{
		"request.timeout.ms": &c.requestTimeout, "socket.connection.setup.timeout.ms": &c.setupTimeout, "metadata.max.age.ms": &c.metadataMaxAge,
	} {
		var err error
		if *d, err = s.milliseconds(name); err != nil {
			return err
		}
	}
	c.protocol = plaintext
	if v := strings.ToUpper(strings.TrimSpace(s.value("security.protocol"))); v != "" {
		c.protocol = v
	}
	var err error
	switch c.protocol {
	case plaintext, saslPlaintext:
	case overTLS, saslTLS:
		if c.tls, err = newTLSSource(s, c); err != nil {
			return err
		}
	default:
		return s.fault("security.protocol", "is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", "")
	}
	if c.protocol == saslPlaintext || c.protocol == saslTLS {
		return c.understandLogin(s)
	}
	c.warnUnused(s)
	return nil
}

// warnUnused tells of a login or certificates that the protocol leaves unused: who wrote
// them believes that they protect something.
func (c *Config) warnUnused(s *settings) {
	for _, name := range []string{"sasl.jaas.config", "sasl.username", "sasl.mechanism"} {
		if s.has(name) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is not used, for security.protocol is %s: write SASL_SSL or SASL_PLAINTEXT to log in", name, c.protocol))
			break
		}
	}
	for _, name := range []string{"ssl.truststore.location", "ssl.truststore.certificates", "ssl.keystore.location", "ssl.keystore.key"} {
		if c.protocol == plaintext && s.has(name) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is not used, for security.protocol is %s: write SSL or SASL_SSL to encrypt", name, c.protocol))
			break
		}
	}
}

// milliseconds reads a duration; 0 if it is not given.
func (s *settings) milliseconds(name string) (time.Duration, error) {
	if !s.has(name) {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s.value(name)), 10, 32)
	if err != nil || n <= 0 {
		return 0, s.fault(name, "is not a number of milliseconds above 0", "")
	}
	return time.Duration(n) * time.Millisecond, nil
}

// Options are those of a Kafka client. A connection is set up within the timeout, with the
// credentials that count at that time.
func (c *Config) Options(setupTimeout time.Duration) []kgo.Opt {
	if c == nil {
		return []kgo.Opt{kgo.DialTimeout(setupTimeout)}
	}
	if c.setupTimeout > 0 {
		setupTimeout = min(setupTimeout, c.setupTimeout)
	}
	var opts []kgo.Opt
	if c.tls != nil {
		opts = append(opts, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.current().tls.dialer(setupTimeout)(ctx, network, address)
		}))
	} else {
		opts = append(opts, kgo.DialTimeout(setupTimeout))
	}
	if c.mechanism != nil {
		opts = append(opts, kgo.SASL(liveMechanism{c}))
	}
	if c.clientID != "" {
		opts = append(opts, kgo.ClientID(c.clientID))
	}
	if c.requestTimeout > 0 {
		opts = append(opts, kgo.RequestTimeoutOverhead(c.requestTimeout))
	}
	if c.metadataMaxAge > 0 {
		opts = append(opts, kgo.MetadataMaxAge(c.metadataMaxAge), kgo.MetadataMinAge(min(c.metadataMaxAge, 2500*time.Millisecond)))
	}
	return opts
}

// Encrypts says that connections are of TLS.
func (c *Config) Encrypts() bool { return c != nil && c.tls != nil }

// LogsIn says that brokers are given a login.
func (c *Config) LogsIn() bool { return c != nil && c.login != nil }

// Mechanism is that of the login; empty without one.
func (c *Config) Mechanism() string {
	if !c.LogsIn() {
		return ""
	}
	return c.login.mechanism // Renew leaves it as it is
}

// Dial makes a connection as the options of [Config.Options] do, for who wants to look at a
// broker closely. Nothing is sent on it yet, not even a login.
func (c *Config) Dial(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	if c.Encrypts() {
		return c.current().tls.dialer(timeout)(ctx, "tcp", address)
	}
	dialer := net.Dialer{Timeout: timeout}
	return dialer.DialContext(ctx, "tcp", address)
}

// Principal is the user that brokers take this client for, in their words, unless a rule of
// theirs makes another name of it; User:NAME where only a token tells.
func (c *Config) Principal() string {
	if c != nil {
		c = c.current()
	}
	switch {
	case c != nil && c.login != nil && c.login.user != "":
		return "User:" + c.login.user
	case c != nil && c.login != nil:
		return "User:NAME"
	case c != nil && c.tls != nil:
		if own := c.tls.current().certificates; len(own) > 0 && own[0].Leaf != nil {
			return "User:" + own[0].Leaf.Subject.String()
		}
	}
	return "User:ANONYMOUS"
}
