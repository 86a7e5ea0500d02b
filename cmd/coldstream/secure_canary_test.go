package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/auth"
	"coldstream/kafka/kafkatest"
)

// noSecrets fails the test if a secret is in what a command left behind.
func noSecrets(t *testing.T, got outcome) {
	t.Helper()
	for _, secret := range []string{securePassword, wrongPassword} {
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("a secret is in what is said:\n%s%s", got.stdout, got.stderr)
		}
	}
}

// TestNoSecretIsLeft does the main job with secrets in all places where there may be some,
// and finds none of them in what is said, nor in the vault.
func TestNoSecretIsLeft(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "secretive", 10)
	dir := t.TempDir()
	vault := newVault(t)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	env := []string{"SECRET_PASSWORD=" + securePassword}
	byFile := []string{"--command-config", c.WriteClientProperties(t, kafkatest.SASLSSL, "SCRAM-SHA-256", secureUser, "no.such.name="+wrongPassword, "acks="+wrongPassword)}
	bySets := []string{"-b", strings.Join(c.ListenerAddrs(kafkatest.SASLSSL), ","), "-X", "security.protocol=SASL_SSL", "-X", "ssl.ca.location=" + c.Secrets().CA(),
		"-X", "sasl.mechanisms=PLAIN", "-X", "sasl.username=" + secureUser}
	byVariable := append(bySets, "-X", "sasl.password=${SECRET_PASSWORD}")
	byPasswordFile := append(bySets, "-X", "sasl.password=@"+write("password", securePassword+"\n"))
	for _, login := range [][]string{byFile, byVariable, byPasswordFile} {
		for _, format := range []string{"json", "table"} {
			args := append([]string{"backup", "-o", format, "--verbose", "--vault", vault, "-t", "secretive"}, login...)
			got := command(t, env, args...).must(t, exitDone)
			noSecrets(t, got)
			if slices.Contains(login, "--command-config") {
				got.says(t, `no client knows a property "no.such.name"`, "have no meaning here and are passed over: acks")
			}
		}
		args := append([]string{"restore", "-o", "json", "--verbose", "--vault", vault, "-t", "secretive", "--dry-run", "--map", "secretive=again"}, login...)
		noSecrets(t, command(t, env, args...).must(t, exitDone))
	}
	for _, properties := range []string{
		"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=x required password=\"" + wrongPassword + "\n",
		"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=" + wrongPassword + "\n",
		"security.protocol=SASL_SSL\nsasl.jaas.config=\\u" + wrongPassword + "\n",
		"security.protocol=SSL\nssl.keystore.location=" + write("ks", "\xfe\xed\xfe\xed"+wrongPassword) + "\nssl.keystore.password=" + wrongPassword + "\n",
		"security.protocol=SSL\nssl.truststore.location=" + c.Secrets().CA() + "\nssl.keystore.key=" + wrongPassword + "\n",
		"request.timeout.ms=" + wrongPassword + "\n",
		"security.protocol=" + wrongPassword + "\n",
	} {
		got := command(t, nil, "backup", "-o", "json", "--verbose", "-b", "127.0.0.1:1", "--vault", vault, "--command-config", write("wrong.properties", properties))
		noSecrets(t, got.must(t, exitUsage))
	}
	got := command(t, nil, "backup", "--vault", vault, "-b", "127.0.0.1:1", "-X", "sasl.password="+wrongPassword).must(t, exitUsage)
	noSecrets(t, got.says(t, "a secret does not belong on the command line"))
	searchVault(t, vault)
}

// searchVault looks for secrets in all that is stored, decompressed as well.
func searchVault(t *testing.T, vault string) {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	frames := 0
	walk := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		texts := [][]byte{body}
		for at := 0; at < len(body); at++ {
			if !bytes.HasPrefix(body[at:], []byte{0x28, 0xb5, 0x2f, 0xfd}) || decoder.Reset(bytes.NewReader(body[at:])) != nil {
				continue
			}
			text, err := io.ReadAll(decoder)
			if err == nil || len(text) > 0 || errors.Is(err, zstd.ErrMagicMismatch) {
				frames, texts = frames+1, append(texts, text)
			}
		}
		for _, text := range texts {
			if bytes.Contains(text, []byte(securePassword)) || bytes.Contains(text, []byte(wrongPassword)) {
				t.Errorf("a secret is in %s", path)
			}
		}
		return nil
	}
	if err := filepath.WalkDir(vault, walk); err != nil {
		t.Fatal(err)
	}
	if frames == 0 {
		t.Error("nothing compressed was found: the search proves nothing")
	}
}

// logins counts connections and logins of a client.
type logins struct{ connections, authentications int }

func (l *logins) OnBrokerConnect(kgo.BrokerMetadata, time.Duration, net.Conn, error) { l.connections++ }

func (l *logins) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == kmsg.SASLAuthenticate.Int16() && err == nil {
		l.authentications++
	}
}

// TestSessionsAreRenewed keeps one connection over several sessions of 5 s (KIP-368): the
// login is made again on it, and no request fails.
func TestSessionsAreRenewed(t *testing.T) {
	c := realCluster(t)
	config, err := auth.Load(auth.Source{File: c.WriteClientProperties(t, kafkatest.ShortSessions, "PLAIN", secureUser), Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	seen := &logins{}
	client, err := kgo.NewClient(append(config.Options(10*time.Second), kgo.SeedBrokers(config.Bootstrap...), kgo.WithHooks(seen), kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	seed := client.SeedBrokers()[0]
	for seen.authentications < 3 {
		if _, err := seed.Request(t.Context(), kmsg.NewPtrMetadataRequest()); err != nil {
			t.Fatalf("after %d logins: %v", seen.authentications, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	if seen.connections != 1 {
		t.Errorf("%d connections for 3 logins, want 1", seen.connections)
	}
	command(t, nil, "backup", "--command-config", c.WriteClientProperties(t, kafkatest.ShortSessions, "SCRAM-SHA-256", secureUser), "--vault", newVault(t), "--dry-run").must(t, exitDone)
}
