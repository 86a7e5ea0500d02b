package kafkatest

import (
	"strings"
	"testing"
)

// The properties files are such that Kafka's own tools log in with them.
func TestSecureListeners(t *testing.T) {
	c := Start(t, Config{Users: map[string]string{"alice": "alice-secret"}})
	if err := c.AddUser(t.Context(), "bob", "bob-secret"); err != nil {
		t.Fatal(err)
	}
	for _, login := range []struct{ listener, mechanism, user string }{
		{MutualTLS, "", ""}, {SASLSSL, "PLAIN", "alice"}, {SASLSSL, "SCRAM-SHA-512", "bob"},
	} {
		file := c.WriteClientProperties(t, login.listener, login.mechanism, login.user)
		out, err := c.Tool(t.Context(), "org.apache.kafka.tools.BrokerApiVersionsCommand",
			"--bootstrap-server", strings.Join(c.ListenerAddrs(login.listener), ","), "--command-config", file)
		if err != nil {
			t.Errorf("%v: %v", login, err)
		}
		if !strings.Contains(string(out), "Produce(0)") {
			t.Errorf("%v: %s", login, out)
		}
	}
	file := c.WriteClientProperties(t, Expired, "", "", "request.timeout.ms=3000", "default.api.timeout.ms=3000")
	if out, err := c.Tool(t.Context(), "org.apache.kafka.tools.BrokerApiVersionsCommand",
		"--bootstrap-server", strings.Join(c.ListenerAddrs(Expired), ","), "--command-config", file); err == nil {
		t.Errorf("a listener with an expired certificate was accepted:\n%s", out)
	}
}
