package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// TestRenew gives a client that was made before another password, and names what it cannot give it.
func TestRenew(t *testing.T) {
	const file = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=bob\n"
	secret := filepath.Join(t.TempDir(), "secret")
	loaded := func(password, more string) *Config {
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		return mustLoad(t, file+more, "sasl.password=@"+secret)
	}
	c := loaded("first", "")
	client, err := kgo.NewClient(c.Options(0)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	says := func(password string) {
		t.Helper()
		_, said, err := client.OptValue(kgo.SASL).([]sasl.Mechanism)[0].Authenticate(t.Context(), "host")
		if err != nil || !strings.HasSuffix(string(said), "\x00"+password) {
			t.Errorf("the client logs in with %q, %v; want %s", said, err, password)
		}
	}
	says("first")
	if later := c.Renew(loaded("second", "")); len(later) > 0 {
		t.Errorf("%v wait for a restart", later)
	}
	says("second")
	later := c.Renew(loaded("third", "client.id=x\nbootstrap.servers=a\nmetadata.max.age.ms=5\n"))
	if diff := cmp.Diff([]string{"bootstrap.servers", "client.id", "metadata.max.age.ms"}, later); diff != "" {
		t.Error(diff)
	}
	says("third")
	for name, other := range map[string]string{"security.protocol": "SASL_PLAINTEXT=SASL_SSL", "sasl.mechanism": "PLAIN\n=SCRAM-SHA-256\n"} {
		old, with, _ := strings.Cut(other, "=")
		fresh := mustLoad(t, strings.Replace(file, old, with, 1), "sasl.password=@"+secret)
		if diff := cmp.Diff([]string{name}, c.Renew(fresh)); diff != "" {
			t.Error(diff)
		}
		says("third")
	}
}

// TestFilesAreNamed: who wants to know when to load again must know what was read, also where that failed.
func TestFilesAreNamed(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := writeText(t, `config.providers=file
config.providers.file.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
client.id=${file:`+filepath.Dir(secret)+`:secret}
`)
	c, err := Load(Source{File: file, Overrides: []string{"sasl.password=@/no/such"}, Getenv: os.Getenv})
	if err == nil {
		t.Fatal("a file that is not there was read")
	}
	var names []string
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{file, secret, "/no/such"}, names); diff != "" || string(c.Files[1].Content) != "canary" || c.Files[2].Content != nil {
		t.Errorf("%s %q", diff, c.Files)
	}
}
