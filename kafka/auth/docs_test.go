package auth

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// TestExamplesOfTheDocuments reads every properties file in docs/connecting.md, with files
// in the places that it names.
func TestExamplesOfTheDocuments(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "connecting.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := exampleFiles(t)
	t.Setenv("KAFKA_PASSWORD", "x")
	examples := regexp.MustCompile("(?s)```properties\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 15 {
		t.Errorf("%d examples", len(examples))
	}
	for _, example := range examples {
		text := strings.NewReplacer("/etc/coldstream", dir, "password=…", "password=secret").Replace(example[1])
		c, err := load(t, text)
		if err != nil {
			t.Errorf("%v\n%s", err, example[1])
			continue
		}
		if len(c.Bootstrap) == 0 || len(c.Warnings)+len(c.PassedOver) > 0 {
			t.Errorf("bootstrap %q, warnings %q, passed over %q\n%s", c.Bootstrap, c.Warnings, c.PassedOver, example[1])
		}
	}
}

// exampleFiles makes the files that the examples name.
func exampleFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := newIdentity(t, "Test CA", nil, nil)
	client := newIdentity(t, "client", ca, nil)
	p12, err := pkcs12.Modern2023.Encode(client.key, client.certificate, nil, "secret")
	if err != nil {
		t.Fatal(err)
	}
	store := keystore.New()
	block, _ := pem.Decode([]byte(ca.certPEM()))
	if err := store.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{Certificate: keystore.Certificate{Type: "X.509", Content: block.Bytes}}); err != nil {
		t.Fatal(err)
	}
	var jks strings.Builder
	if err := store.Store(&jks, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ca.pem": ca.certPEM(), "truststore.jks": jks.String(), "keystore.p12": string(p12), "service.cert": client.certPEM(), "service.key": client.keyPEM(t),
		"cluster-ca/ca.crt": ca.certPEM(), "user/user.crt": client.certPEM(), "user/user.key": client.keyPEM(t),
		"user/sasl.jaas.config": moduleScram + ` required username="x" password="y";`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
