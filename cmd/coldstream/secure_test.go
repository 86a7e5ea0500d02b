package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// The user that the shared broker's listeners with a login know. The password stands
// nowhere else, so that a test can look for it.
const (
	secureUser     = "alice"
	securePassword = "canary-p4ss"
	wrongPassword  = "canary-wr0ng"
)

// fillTopic makes a topic with records in it.
func fillTopic(t *testing.T, c *kafkatest.Cluster, topic string, records int) {
	t.Helper()
	client := newClient(t, c)
	createTopic(t, client, topic, 1)
	var all []*kgo.Record
	for i := range records {
		all = append(all, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "value %d", i), Timestamp: time.UnixMilli(int64(1700000000000 + i))})
	}
	produce(t, client, all...)
}

// contents are the records of a topic without its name.
func contents(t *testing.T, c *kafkatest.Cluster, topic string) []kafkatest.Record {
	t.Helper()
	records, err := kafkatest.ReadAll(t.Context(), c.Addrs(), topic, kgo.ReadUncommitted())
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		records[i].Topic = ""
	}
	return records
}

// TestSecuredBackupAndRestore does the main job with nothing but the properties file that
// Kafka's own tools take: TLS, SCRAM, and the brokers' addresses.
func TestSecuredBackupAndRestore(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "secured", 500)
	properties := c.WriteClientProperties(t, kafkatest.SASLSSL, "SCRAM-SHA-512", secureUser)
	vault := newVault(t)
	command(t, nil, "backup", "--command-config", properties, "--vault", vault, "-t", "secured").must(t, exitDone)
	command(t, nil, "restore", "--command-config", properties, "--vault", vault, "-t", "secured", "--map", "secured=secured-back", "--yes").must(t, exitDone)
	got := contents(t, c, "secured-back")
	if diff := cmp.Diff(contents(t, c, "secured"), got); diff != "" || len(got) != 500 {
		t.Errorf("%d records (-source +restored)\n%s", len(got), diff)
	}
}

// listener is one of the shared broker's, and the login there.
type listener struct{ name, mechanism string }

func (l listener) String() string { return strings.TrimSpace(l.name + " " + l.mechanism) }

// listeners are all that let somebody in.
func listeners() []listener {
	out := []listener{{kafkatest.SSL, ""}, {kafkatest.MutualTLS, ""}, {kafkatest.SASLPlaintext, "SCRAM-SHA-256"}}
	for _, mechanism := range kafkatest.Mechanisms() {
		out = append(out, listener{kafkatest.SASLSSL, mechanism})
	}
	return out
}

// TestEveryListener logs in through each listener and saves 100 records.
func TestEveryListener(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "listened", 100)
	for _, l := range listeners() {
		t.Run(l.String(), func(t *testing.T) {
			properties := c.WriteClientProperties(t, l.name, l.mechanism, secureUser)
			var saved struct{ Records int64 }
			command(t, nil, "backup", "-o", "json", "--command-config", properties, "--vault", newVault(t), "-t", "listened").must(t, exitDone).into(t, &saved)
			if saved.Records != 100 {
				t.Errorf("saved %d records, want 100", saved.Records)
			}
		})
	}
}

// wrong is a properties file that cannot work: what is said then, and what to do.
type wrong struct {
	name       string
	properties string
	says       []string
	waits      bool // for the whole connect timeout, since it may pass
}

// TestWrongLogins tells each mistake from the others, within the connect timeout, and says
// what to change. No secret is in it.
func TestWrongLogins(t *testing.T) {
	c := realCluster(t)
	good := func(listener, mechanism string) string { return c.ClientProperties(listener, mechanism, secureUser) }
	but := func(properties, old, with string) string {
		if !strings.Contains(properties, old) {
			t.Fatalf("%q is not in %s", old, properties)
		}
		return strings.ReplaceAll(properties, old, with)
	}
	scram := good(kafkatest.SASLSSL, "SCRAM-SHA-512")
	tokens := good(kafkatest.SASLSSL, "OAUTHBEARER")
	tokenURL := c.Secrets().Tokens.URL()
	bootstrap := func(listener string) string {
		return "bootstrap.servers=" + strings.Join(c.ListenerAddrs(listener), ",") + "\n"
	}
	plainBootstrap := "bootstrap.servers=" + c.Bootstrap() + "\n"
	for _, w := range []wrong{
		{"wrong password", but(scram, securePassword, wrongPassword), []string{`login as "alice" with SCRAM-SHA-512 was refused`, "check user and password", "line 6"}, false},
		{"wrong password in PLAIN", but(good(kafkatest.SASLSSL, "PLAIN"), securePassword, wrongPassword), []string{`login as "alice" with PLAIN was refused`, "check user and password"}, false},
		{"unknown user", but(scram, secureUser, "mallory"), []string{`login as "mallory" with SCRAM-SHA-512 was refused`}, false},
		{"unknown CA", but(scram, c.Secrets().CA(), c.Secrets().OtherCA()), []string{"of an authority that is not trusted", "ssl.truststore.location", "CN=Test CA"}, false},
		{"no CA", but(good(kafkatest.SSL, ""), "ssl.truststore", "#"), []string{"of an authority that is not trusted", "ssl.truststore.location"}, false},
		{"expired certificate", good(kafkatest.Expired, ""), []string{"the broker's certificate has expired", "renew"}, false},
		{"wrong name", good(kafkatest.OtherName, ""), []string{"the broker's certificate is for another name", "broker.example.com"}, false},
		{"wrong mechanism", but(but(scram, "SCRAM-SHA-512", "GSSAPI"), "org.apache.kafka.common.security.scram.ScramLoginModule", "com.sun.security.auth.module.Krb5LoginModule") +
			"sasl.kerberos.service.name=kafka\n", []string{"does not offer sasl.mechanism=GSSAPI, and offers", "SCRAM-SHA-512"}, false},
		{"TLS to a plaintext port", plainBootstrap + strings.TrimPrefix(good(kafkatest.SSL, ""), bootstrap(kafkatest.SSL)), []string{"does not speak TLS", "security.protocol=PLAINTEXT"}, false},
		{"login at a plaintext port", plainBootstrap + strings.TrimPrefix(good(kafkatest.SASLPlaintext, "SCRAM-SHA-256"), bootstrap(kafkatest.SASLPlaintext)), []string{"asks for no login", "security.protocol=PLAINTEXT"}, false},
		{"plaintext to a TLS port", bootstrap(kafkatest.SSL), []string{"speaks TLS, and it was spoken to in plaintext", "security.protocol=SSL"}, false},
		{"login without TLS at a TLS port", but(scram, "SASL_SSL", "SASL_PLAINTEXT"), []string{"wants TLS", "security.protocol=SASL_SSL"}, false},
		{"no login at a port that wants one", bootstrap(kafkatest.SASLPlaintext), []string{"asks for a login (SASL: ", "sasl.mechanism"}, false},
		{"TLS without the login", but(scram, "security.protocol=SASL_SSL", "security.protocol=SSL"), []string{"wants a login", "security.protocol=SASL_SSL"}, false},
		{"no certificate of the client", but(good(kafkatest.MutualTLS, ""), "ssl.keystore", "#"), []string{"wants a certificate of the client", "ssl.keystore.location"}, false},
		{"token refused", but(tokens, securePassword, wrongPassword), []string{"HTTP 401 invalid_client", "check client ID and secret"}, false},
		{"no token endpoint", but(tokens, tokenURL, "http://127.0.0.1:1/token?key="+wrongPassword), []string{"token endpoint http://127.0.0.1:1/token", "connection refused", "check sasl.oauthbearer.token.endpoint.url"}, true},
	} {
		t.Run(w.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "client.properties")
			if err := os.WriteFile(file, []byte(w.properties), 0o600); err != nil {
				t.Fatal(err)
			}
			timeout := "8s"
			if w.waits {
				timeout = "4s"
			}
			got := command(t, nil, "backup", "-o", "json", "--verbose", "--command-config", file, "--connect-timeout", timeout, "--vault", newVault(t)).must(t, exitUnreachable).says(t, w.says...)
			noSecrets(t, got)
		})
	}
}
