package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The listeners that Config.Users adds.
const (
	// SSL encrypts, and asks for no login.
	SSL = "SSL"
	// MutualTLS wants a certificate of the client: Secrets.ClientPEM is one.
	MutualTLS = "MTLS"
	// SASLSSL encrypts, and wants a login: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER.
	SASLSSL = "SASL_SSL"
	// SASLPlaintext wants the same logins and encrypts nothing.
	SASLPlaintext = "SASL_PLAINTEXT"
	// ShortSessions is SASLSSL where a login holds for 5 s (connections.max.reauth.ms).
	ShortSessions = "SHORT_SESSIONS"
	// Expired is SSL with a certificate that ran out.
	Expired = "EXPIRED"
	// OtherName is SSL with a certificate for another host.
	OtherName = "OTHER_NAME"
)

// Mechanisms are those of the listeners with a login.
func Mechanisms() []string { return []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"} }

// Secrets are what clients of the listeners of Config.Users need.
type Secrets struct {
	// Dir holds the files: ca.pem is the authority of all certificates of brokers,
	// other-ca.pem is one that signed none, client.pem is key and certificate of a client.
	Dir string
	// Tokens gives tokens of OAUTHBEARER out, which the brokers accept.
	Tokens *TokenServer

	users map[string]string
	ca    *authority
}

// CA is the file with the certificate that brokers' certificates are signed with.
func (s *Secrets) CA() string { return filepath.Join(s.Dir, "ca.pem") }

// OtherCA is the file with the certificate of an authority that no broker belongs to.
func (s *Secrets) OtherCA() string { return filepath.Join(s.Dir, "other-ca.pem") }

// ClientPEM is the file with the key, in PKCS#8, and the certificate of a client.
func (s *Secrets) ClientPEM() string { return filepath.Join(s.Dir, "client.pem") }

// Secrets are those of a cluster with Config.Users.
func (c *Cluster) Secrets() *Secrets { return c.secrets }

// ClientProperties is a client's properties file for a listener of Config.Users. Where
// that wants a login, mechanism and user say which; password is the user's own.
func (c *Cluster) ClientProperties(listener, mechanism, user string) string {
	var b strings.Builder
	protocol := securityProtocols()[listener]
	fmt.Fprintf(&b, "bootstrap.servers=%s\nsecurity.protocol=%s\n", strings.Join(c.ListenerAddrs(listener), ","), protocol)
	if strings.HasSuffix(protocol, "SSL") {
		fmt.Fprintf(&b, "ssl.truststore.type=PEM\nssl.truststore.location=%s\n", c.secrets.CA())
	}
	if listener == MutualTLS {
		fmt.Fprintf(&b, "ssl.keystore.type=PEM\nssl.keystore.location=%s\n", c.secrets.ClientPEM())
	}
	if strings.HasPrefix(protocol, "SASL") {
		fmt.Fprintf(&b, "sasl.mechanism=%s\nsasl.jaas.config=%s\n", mechanism, c.clientLogin(mechanism, user))
	}
	if mechanism == "OAUTHBEARER" {
		fmt.Fprintf(&b, "sasl.oauthbearer.token.endpoint.url=%s\n", c.secrets.Tokens.URL())
		fmt.Fprintf(&b, "sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n")
	}
	return b.String()
}

func (c *Cluster) clientLogin(mechanism, user string) string {
	password := c.secrets.users[user]
	switch mechanism {
	case "PLAIN":
		return fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required username="%s" password="%s";`, user, password)
	case "OAUTHBEARER":
		return fmt.Sprintf(`org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="%s" clientSecret="%s";`, user, password)
	}
	return fmt.Sprintf(`org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`, user, password)
}

// WriteClientProperties writes ClientProperties, and lines behind them, into a file that
// goes with the cluster, and returns its name.
func (c *Cluster) WriteClientProperties(tb TB, listener, mechanism, user string, lines ...string) string {
	tb.Helper()
	f, err := os.CreateTemp(c.secrets.Dir, "client-*.properties")
	if err != nil {
		tb.Fatalf("%v", err)
		return ""
	}
	_, err = f.WriteString(c.ClientProperties(listener, mechanism, user) + strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatalf("%v", err)
	}
	return f.Name()
}

// AddUser gives a user, or a new one, a password for both SCRAM mechanisms. PLAIN and
// OAUTHBEARER know those of Config.Users only.
func (c *Cluster) AddUser(ctx context.Context, user, password string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...))
	if err != nil {
		return err
	}
	defer client.Close()
	// A request may name a user only once.
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		altered, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
			{User: user, Mechanism: mechanism, Iterations: 4096, Password: password},
		})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			return fmt.Errorf("add user %s: %w", user, err)
		}
	}
	c.secrets.users[user] = password
	return nil
}

// securityProtocols are the protocols of the listeners of Config.Users.
func securityProtocols() map[string]string {
	return map[string]string{
		SSL: "SSL", MutualTLS: "SSL", Expired: "SSL", OtherName: "SSL",
		SASLSSL: "SASL_SSL", ShortSessions: "SASL_SSL", SASLPlaintext: "SASL_PLAINTEXT",
	}
}

// secure makes what the listeners of Config.Users need, before the brokers start.
func (c *Cluster) secure() error {
	dir := filepath.Join(c.dir, "secrets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s := &Secrets{Dir: dir, users: maps.Clone(c.cfg.Users)}
	c.secrets = s
	if err := s.makeCertificates(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	var err error
	if s.Tokens, err = startTokenServer(maps.Clone(s.users)); err != nil {
		return fmt.Errorf("start token server: %w", err)
	}
	listeners := securityProtocols()
	maps.Copy(listeners, c.cfg.Listeners)
	properties := s.brokerProperties()
	maps.Copy(properties, c.cfg.Properties)
	c.cfg.Listeners, c.cfg.Properties = listeners, properties
	return nil
}

// brokerProperties are those of the listeners.
func (s *Secrets) brokerProperties() map[string]string {
	store := func(name string) string { return filepath.Join(s.Dir, name) }
	properties := map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": store("broker.pem"),
		"ssl.truststore.type": "PEM", "ssl.truststore.location": s.CA(),
		"listener.name.mtls.ssl.client.auth":                     "required",
		"listener.name.expired.ssl.keystore.type":                "PEM",
		"listener.name.expired.ssl.keystore.location":            store("expired.pem"),
		"listener.name.other_name.ssl.keystore.type":             "PEM",
		"listener.name.other_name.ssl.keystore.location":         store("other-name.pem"),
		"sasl.oauthbearer.jwks.endpoint.url":                     s.Tokens.jwksURL(),
		"sasl.oauthbearer.expected.audience":                     tokenAudience,
		"sasl.oauthbearer.expected.issuer":                       tokenIssuer,
		"listener.name.short_sessions.connections.max.reauth.ms": "5000",
	}
	var plain strings.Builder
	for _, user := range slices.Sorted(maps.Keys(s.users)) {
		fmt.Fprintf(&plain, ` user_%s="%s"`, user, s.users[user])
	}
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	for listener, protocol := range securityProtocols() {
		if !strings.HasPrefix(protocol, "SASL") {
			continue
		}
		prefix := "listener.name." + strings.ToLower(listener) + "."
		maps.Copy(properties, map[string]string{
			prefix + "sasl.enabled.mechanisms":                        strings.Join(Mechanisms(), ","),
			prefix + "plain.sasl.jaas.config":                         "org.apache.kafka.common.security.plain.PlainLoginModule required" + plain.String() + ";",
			prefix + "scram-sha-256.sasl.jaas.config":                 scram,
			prefix + "scram-sha-512.sasl.jaas.config":                 scram,
			prefix + "oauthbearer.sasl.jaas.config":                   "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
			prefix + "oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
		})
	}
	return properties
}

// javaOptions are those of the brokers' processes.
func (c *Cluster) javaOptions() []string {
	if c.secrets == nil {
		return nil
	}
	return []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + c.secrets.Tokens.jwksURL()}
}

// addUsers makes the users of Config.Users known for SCRAM, once the brokers answer.
func (c *Cluster) addUsers(ctx context.Context) error {
	for _, user := range slices.Sorted(maps.Keys(c.cfg.Users)) {
		if err := c.AddUser(ctx, user, c.cfg.Users[user]); err != nil {
			return err
		}
	}
	return nil
}
