package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a certificate with its key, signed by another one or by itself.
type identity struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newIdentity makes one; change may alter the certificate before it is signed.
func newIdentity(t *testing.T, name string, by *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.certificate, by.key
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{parsed, key}
}

func onLoopback(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }

func (i *identity) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw}))
}

func (i *identity) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// server takes TLS connections that show a client's certificate of the authority.
func server(t *testing.T, own, authority *identity) (address string) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(authority.certificate)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.certificate.Raw}, PrivateKey: own.key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // nothing is written
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if conn.(*tls.Conn).HandshakeContext(t.Context()) == nil {
					_, _ = conn.Write([]byte(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName + "\n"))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// greet connects as a Kafka client would and returns the name that the server saw.
func greet(ctx context.Context, c *Config, address string) (string, error) {
	conn, err := c.tls.dialer(10*time.Second)(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	name := make([]byte, 100)
	n, err := conn.Read(name)
	return strings.TrimSpace(string(name[:n])), err
}

// needTool leaves a test out, and says so, where the machine lacks a program.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: install it (Debian: openjdk-17-jre-headless has keytool, openssl has openssl)", name)
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestStores shakes hands with keys and authorities in every form in which Java and
// OpenSSL write them.
func TestStores(t *testing.T) {
	needTool(t, "keytool")
	needTool(t, "openssl")
	ca := newIdentity(t, "Test CA", nil, nil)
	client := newIdentity(t, "client", ca, nil)
	address := server(t, newIdentity(t, "broker", ca, onLoopback), ca)
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": ca.certPEM(), "client.crt": client.certPEM(), "client.key": client.keyPEM(t), "client.pem": client.keyPEM(t) + client.certPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, dir, `
openssl pkcs12 -export -in client.pem -name client -out openssl.p12 -passout pass:canary1
openssl pkcs8 -topk8 -in client.key -out encrypted.key -passout pass:canary2
cat encrypted.key client.crt >encrypted.pem
openssl ec -in client.key -out sec1.key 2>/dev/null
keytool -importcert -noprompt -alias ca -file ca.pem -keystore trust.p12 -storetype PKCS12 -storepass canary3 2>/dev/null
keytool -importcert -noprompt -alias ca -file ca.pem -keystore trust.jks -storetype JKS -storepass canary3 2>/dev/null
keytool -importkeystore -srckeystore openssl.p12 -srcstorepass canary1 -destkeystore java.p12 -deststoretype PKCS12 -deststorepass canary4 2>/dev/null
keytool -importkeystore -srckeystore openssl.p12 -srcstorepass canary1 -destkeystore key.jks -deststoretype JKS -deststorepass canary4 -destkeypass canary5 -srcalias client 2>/dev/null
cp java.p12 both.p12
keytool -importcert -noprompt -alias ca -file ca.pem -keystore both.p12 -storepass canary4 2>/dev/null
`)
	inline := func(name, text string) string { return name + "=" + strings.ReplaceAll(text, "\n", "\\n") + "\n" }
	file := func(name string) string { return filepath.Join(dir, name) }
	trusts := map[string]string{
		"PEM":                   "ssl.truststore.type=PEM\nssl.truststore.location=" + file("ca.pem"),
		"PEM inline":            inline("ssl.truststore.certificates", ca.certPEM()) + "ssl.truststore.type=PEM",
		"PKCS12":                "ssl.truststore.type=PKCS12\nssl.truststore.password=canary3\nssl.truststore.location=" + file("trust.p12"),
		"PKCS12, taken for JKS": "ssl.truststore.password=canary3\nssl.truststore.location=" + file("trust.p12"),
		"JKS":                   "ssl.truststore.password=canary3\nssl.truststore.location=" + file("trust.jks"),
		"JKS without password":  "ssl.truststore.location=" + file("trust.jks"),
		"PKCS12 with a key":     "ssl.truststore.password=canary4\nssl.truststore.location=" + file("both.p12"),
		"librdkafka":            "ssl.ca.location=" + file("ca.pem"),
		"librdkafka inline":     inline("ssl.ca.pem", ca.certPEM()),
	}
	keys := map[string]string{
		"PEM":               "ssl.keystore.type=PEM\nssl.keystore.location=" + file("client.pem"),
		"encrypted PEM":     "ssl.keystore.type=PEM\nssl.key.password=canary2\nssl.keystore.location=" + file("encrypted.pem"),
		"PEM inline":        inline("ssl.keystore.key", client.keyPEM(t)) + inline("ssl.keystore.certificate.chain", client.certPEM()) + "ssl.keystore.type=PEM",
		"OpenSSL's PKCS12":  "ssl.keystore.type=PKCS12\nssl.keystore.password=canary1\nssl.keystore.location=" + file("openssl.p12"),
		"Java's PKCS12":     "ssl.keystore.type=PKCS12\nssl.keystore.password=canary4\nssl.key.password=canary4\nssl.keystore.location=" + file("java.p12"),
		"PKCS12 with a CA":  "ssl.keystore.password=canary4\nssl.keystore.location=" + file("both.p12"),
		"JKS":               "ssl.keystore.password=canary4\nssl.key.password=canary5\nssl.keystore.location=" + file("key.jks"),
		"librdkafka":        "ssl.certificate.location=" + file("client.crt") + "\nssl.key.location=" + file("sec1.key"),
		"librdkafka inline": inline("ssl.certificate.pem", client.certPEM()) + inline("ssl.key.pem", client.keyPEM(t)),
	}
	try := func(name, trust, key string) {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, "security.protocol=SSL\n"+trust+"\n"+key+"\n")
			if seen, err := greet(t.Context(), c, address); err != nil || seen != "client" {
				t.Errorf("the server saw %q: %v", seen, err)
			}
		})
	}
	for name, trust := range trusts {
		try("trust "+name, trust, keys["PEM"])
	}
	for name, key := range keys {
		try("key "+name, trusts["PEM"], key)
	}
	for text, says := range map[string]string{
		"ssl.truststore.password=canary9\nssl.truststore.location=" + file("trust.p12"):                           "line 3: ssl.truststore.location: read authorities",
		"ssl.truststore.password=canary9\nssl.truststore.location=" + file("trust.jks"):                           "read authorities",
		"ssl.truststore.location=" + file("client.key"):                                                           "no certificate of an authority",
		"ssl.truststore.location=" + file("absent"):                                                               "no such file",
		trusts["PEM"] + "\nssl.keystore.password=canary9\nssl.keystore.location=" + file("java.p12"):              "line 5: ssl.keystore.location: read the client's key",
		trusts["PEM"] + "\nssl.keystore.password=canary9\nssl.keystore.location=" + file("key.jks"):               "read the client's key",
		trusts["PEM"] + "\nssl.keystore.password=canary4\nssl.keystore.location=" + file("key.jks"):               "ssl.key.password (or ssl.keystore.password",
		trusts["PEM"] + "\nssl.keystore.location=" + file("encrypted.pem"):                                        "ssl.key.password is missing",
		trusts["PEM"] + "\nssl.key.password=canary9\nssl.keystore.location=" + file("encrypted.pem"):              "ssl.key.password does not open the key",
		trusts["PEM"] + "\nssl.keystore.location=" + file("ca.pem"):                                               "no private key",
		trusts["PEM"] + "\nssl.certificate.location=" + file("ca.pem") + "\nssl.key.location=" + file("sec1.key"): "none of the certificates belongs to the key",
	} {
		_, err := load(t, "security.protocol=SSL\n"+text+"\n")
		refuses(t, err, says)
	}
}

// TestNames compares a certificate's names with the host as Java does.
func TestNames(t *testing.T) {
	ca := newIdentity(t, "Test CA", nil, nil)
	client := newIdentity(t, "client", ca, nil)
	keys := writeText(t, client.keyPEM(t)+client.certPEM())
	trust := "security.protocol=SSL\nssl.truststore.location=" + writeText(t, ca.certPEM()) + "\nssl.keystore.location=" + keys + "\n"
	for name, c := range map[string]struct {
		broker *identity
		text   string
		says   string
	}{
		"right":                     {newIdentity(t, "x", ca, onLoopback), "", ""},
		"old, by its common name":   {newIdentity(t, "127.0.0.1", ca, nil), "", ""},
		"common name beside others": {newIdentity(t, "127.0.0.1", ca, func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} }), "", "for another name (a.example)"},
		"other":                     {newIdentity(t, "other", ca, nil), "", "for another name (other)"},
		"any":                       {newIdentity(t, "other", ca, nil), "ssl.endpoint.identification.algorithm=\n", ""},
		"any of another authority":  {newIdentity(t, "other", newIdentity(t, "Else", nil, nil), nil), "ssl.endpoint.identification.algorithm=\n", "authority that is not trusted"},
		"expired":                   {newIdentity(t, "x", ca, func(c *x509.Certificate) { onLoopback(c); c.NotAfter = time.Now().Add(-time.Minute) }), "", "has expired"},
		"not yet":                   {newIdentity(t, "x", ca, func(c *x509.Certificate) { onLoopback(c); c.NotBefore = time.Now().Add(time.Minute) }), "", "not valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			config := mustLoad(t, trust+c.text)
			_, err := greet(t.Context(), config, server(t, c.broker, ca))
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(config.Explain(err).Error(), c.says)):
				t.Errorf("got %v, want %q", config.Explain(err), c.says)
			}
		})
	}
}

func TestProtocolsAndCipherSuites(t *testing.T) {
	ca := newIdentity(t, "Test CA", nil, nil)
	client := newIdentity(t, "client", ca, nil)
	address := server(t, newIdentity(t, "broker", ca, onLoopback), ca)
	base := "security.protocol=SSL\nssl.truststore.location=" + writeText(t, ca.certPEM()) + "\nssl.keystore.location=" + writeText(t, client.keyPEM(t)+client.certPEM()) + "\n"
	state := func(t *testing.T, text string) (tls.ConnectionState, error) {
		t.Helper()
		conn, err := mustLoad(t, base+text).tls.dialer(10*time.Second)(t.Context(), "tcp", address)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState(), nil
	}
	for text, want := range map[string]uint16{
		"": tls.VersionTLS13, "ssl.enabled.protocols=TLSv1.2\n": tls.VersionTLS12, "ssl.enabled.protocols=TLSv1.3,TLSv1.2\n": tls.VersionTLS13,
		"ssl.protocol=TLSv1.2\n": tls.VersionTLS12, "ssl.protocol=TLS\n": tls.VersionTLS13, "ssl.cipher.suites=TLS_AES_128_GCM_SHA256\n": tls.VersionTLS13,
	} {
		if got, err := state(t, text); err != nil || got.Version != want {
			t.Errorf("%q: version %x, want %x: %v", text, got.Version, want, err)
		}
	}
	const suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	got, err := state(t, "ssl.enabled.protocols=TLSv1.2\nssl.cipher.suites=TLS_DHE_DSS_WITH_AES_128_CBC_SHA,"+suite+"\n")
	if err != nil || tls.CipherSuiteName(got.CipherSuite) != suite {
		t.Errorf("%s: %v", tls.CipherSuiteName(got.CipherSuite), err)
	}
	config := mustLoad(t, base+"ssl.enabled.protocols=TLSv1.2\nssl.cipher.suites=TLS_RSA_WITH_AES_128_CBC_SHA\n")
	_, err = greet(t.Context(), config, address)
	var login *LoginError
	if !errors.As(config.Explain(err), &login) || !strings.Contains(login.Error(), "no protocol or cipher suite of TLS in common") {
		t.Errorf("%v", config.Explain(err))
	}
}

// TestCertificatesAreReadAgain changes the files under a configuration in use. What is
// half there, or damaged, changes nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newIdentity(t, "Test CA", nil, nil)
	address := server(t, newIdentity(t, "broker", ca, onLoopback), ca)
	dir := t.TempDir()
	at := time.Now().Add(-time.Hour)
	put := func(file, text string) {
		t.Helper()
		file, at = filepath.Join(dir, file), at.Add(time.Minute)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := newIdentity(t, "first", ca, nil), newIdentity(t, "second", ca, nil)
	put("ca.pem", newIdentity(t, "Old CA", nil, nil).certPEM()+ca.certPEM())
	put("crt", first.certPEM())
	put("key", first.keyPEM(t))
	c := mustLoad(t, fmt.Sprintf("security.protocol=SSL\nssl.ca.location=%s\nssl.certificate.location=%s\nssl.key.location=%s\n",
		filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crt"), filepath.Join(dir, "key")))
	expect := func(want string) {
		t.Helper()
		if seen, err := greet(t.Context(), c, address); err != nil || seen != want {
			t.Errorf("the server saw %q, want %q: %v", seen, want, err)
		}
	}
	expect("first")
	put("crt", second.certPEM()) // its key is not there yet
	expect("first")
	put("key", "damaged")
	expect("first")
	put("key", second.keyPEM(t))
	expect("second")
	put("ca.pem", newIdentity(t, "New CA", nil, nil).certPEM())
	if _, err := greet(t.Context(), c, address); err == nil {
		t.Error("an authority that was taken out is trusted")
	}
	if err := os.Remove(filepath.Join(dir, "crt")); err != nil {
		t.Fatal(err)
	}
	if c.tls.current() == nil {
		t.Error("nothing is left when a file is missing")
	}
}
