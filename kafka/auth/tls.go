package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"coldstream"
)

// tlsSource makes the TLS configuration of each connection, from files that may change.
type tlsSource struct {
	trust, key keyFiles
	base       *tls.Config
	anyName    bool // names in certificates are not compared

	mu     sync.Mutex
	loaded *tlsMaterial
}

// tlsMaterial is what the files held.
type tlsMaterial struct {
	stamps       map[string]stamp
	roots        *x509.CertPool // nil are the system's
	certificates []tls.Certificate
}

// stamp tells whether a file changed.
type stamp struct {
	modified time.Time
	size     int64
}

func newTLSSource(s *settings, c *Config) (*tlsSource, error) {
	t := &tlsSource{base: &tls.Config{MinVersion: tls.VersionTLS12}}
	if err := t.readProtocols(s); err != nil {
		return nil, err
	}
	if err := t.readCipherSuites(s, c); err != nil {
		return nil, err
	}
	t.readStores(s)
	if strings.EqualFold(strings.TrimSpace(s.value("enable.ssl.certificate.verification")), "false") {
		return nil, s.fault("enable.ssl.certificate.verification", "may not be false",
			"name the authority of the brokers' certificates with ssl.truststore.location or ssl.ca.location")
	}
	const identification = "ssl.endpoint.identification.algorithm"
	if given, ok := s.byName[identification]; ok {
		switch strings.ToLower(strings.TrimSpace(given.value)) {
		case "https":
		case "", "none":
			t.anyName = true
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is empty: any broker with a certificate of the same authority is trusted, whatever its name", identification))
		default:
			return nil, s.fault(identification, "is neither https nor empty", "")
		}
	}
	material, err := t.load()
	if err != nil {
		return nil, err
	}
	t.loaded = material
	return t, nil
}

// readProtocols reads ssl.enabled.protocols, else ssl.protocol.
func (t *tlsSource) readProtocols(s *settings) error {
	name := "ssl.enabled.protocols"
	if !s.has(name) {
		name = "ssl.protocol"
	}
	if !s.has(name) {
		return nil
	}
	versions := map[string]uint16{"TLSV1": tls.VersionTLS10, "TLSV1.1": tls.VersionTLS11, "TLSV1.2": tls.VersionTLS12, "TLSV1.3": tls.VersionTLS13}
	var enabled []uint16
	for _, protocol := range strings.Split(s.value(name), ",") {
		protocol = strings.ToUpper(strings.TrimSpace(protocol))
		version, ok := versions[protocol]
		switch {
		case ok:
			enabled = append(enabled, version)
		case protocol == "TLS" && name == "ssl.protocol":
			return nil
		case protocol != "" && !strings.HasPrefix(protocol, "SSL"): // those are passed over: no client speaks them
			return s.fault(name, "names a protocol that is none of TLSv1.2, TLSv1.3 (or TLSv1, TLSv1.1)", "")
		}
	}
	if len(enabled) == 0 {
		return s.fault(name, "leaves no protocol", "write TLSv1.2,TLSv1.3")
	}
	if name == "ssl.protocol" {
		// For Java this is the newest that is offered.
		t.base.MinVersion, t.base.MaxVersion = min(tls.VersionTLS12, enabled[0]), enabled[0]
		return nil
	}
	t.base.MinVersion, t.base.MaxVersion = slices.Min(enabled), slices.Max(enabled)
	return nil
}

// readCipherSuites reads ssl.cipher.suites. Those of TLS 1.3 cannot be chosen, and are
// all good.
func (t *tlsSource) readCipherSuites(s *settings, c *Config) error {
	const name = "ssl.cipher.suites"
	if !s.has(name) {
		return nil
	}
	known := map[string]*tls.CipherSuite{}
	var names []string
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		known[suite.Name] = suite
		names = append(names, suite.Name)
	}
	var left []string
	count := 0
	for _, text := range strings.FieldsFunc(s.value(name), func(r rune) bool { return r == ',' || r == ':' || r == ' ' }) {
		suite := known[strings.Replace(text, "SSL_", "TLS_", 1)]
		if suite == nil {
			left = append(left, text)
			continue
		}
		count++
		if !slices.Equal(suite.SupportedVersions, []uint16{tls.VersionTLS13}) {
			t.base.CipherSuites = append(t.base.CipherSuites, suite.ID)
		}
	}
	switch {
	case count == 0:
		hint := "write names of IANA, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or leave it out"
		if len(left) > 0 {
			if near := coldstream.Nearest(left[0], names); len(near) > 0 {
				hint = "did you mean " + near[0] + "?"
			}
		}
		return s.fault(name, "names no cipher suite that is known here", hint)
	case len(t.base.CipherSuites) == 0 && t.base.MaxVersion != tls.VersionTLS12:
		t.base.MinVersion = tls.VersionTLS13 // only suites of 1.3 are asked for
	}
	if len(left) > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: not known here, and not offered: %s", name, strings.Join(left, ", ")))
	}
	return nil
}

// current returns what the files hold. If they changed and cannot be read now (perhaps
// only one of two is there yet), what was read before holds on.
func (t *tlsSource) current() *tlsMaterial {
	t.mu.Lock()
	defer t.mu.Unlock()
	for file, then := range t.loaded.stamps {
		if now, err := stampOf(file); err == nil && now == then {
			continue
		}
		if material, err := t.load(); err == nil {
			t.loaded = material
		}
		break
	}
	return t.loaded
}

func stampOf(file string) (stamp, error) {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// load reads all files.
func (t *tlsSource) load() (*tlsMaterial, error) {
	m := &tlsMaterial{stamps: map[string]stamp{}}
	for _, file := range slices.Concat(t.trust.files(), t.key.files()) {
		var err error
		if m.stamps[file], err = stampOf(file); err != nil {
			return nil, &Error{Where: t.whereOf(file), what: "read certificates", cause: err}
		}
	}
	var err error
	if m.roots, err = t.trust.roots(); err != nil {
		return nil, err
	}
	m.certificates, err = t.key.keyPairs()
	return m, err
}

func (t *tlsSource) whereOf(file string) string {
	if slices.Contains(t.trust.files(), file) {
		return t.trust.where
	}
	return t.key.where
}

// config is the configuration of a connection to a host.
func (t *tlsSource) config(host string) *tls.Config {
	m := t.current()
	config := t.base.Clone()
	config.ServerName = host
	// The chain and the name are proved by verify: names may be of the old kind, or any.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error { return t.verify(m, host, state) }
	if len(m.certificates) > 0 {
		config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range m.certificates {
				if info.SupportsCertificate(&m.certificates[i]) == nil {
					return &m.certificates[i], nil
				}
			}
			// The broker says better than nothing at all what it does not like.
			return &m.certificates[0], nil
		}
	}
	return config
}

// verify proves that the certificate is the host's and of an authority that is trusted.
func (t *tlsSource) verify(m *tlsMaterial, host string, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the broker showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	options := x509.VerifyOptions{Roots: m.roots, Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if t.anyName {
		return nil
	}
	err := leaf.VerifyHostname(host)
	noNames := len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses)+len(leaf.URIs) == 0
	if err != nil && noNames && strings.EqualFold(leaf.Subject.CommonName, host) {
		return nil // an old certificate, whose only name is its common name: Java takes it
	}
	return err
}

// tlsError is a handshake that did not end well.
type tlsError struct {
	address string
	err     error
}

func (e *tlsError) Error() string { return fmt.Sprintf("TLS with %s: %v", e.address, e.err) }
func (e *tlsError) Unwrap() error { return e.err }

// dialer connects and shakes hands within the timeout.
func (t *tlsSource) dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(plain, t.config(host))
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = plain.Close() // nothing was sent
			return nil, &tlsError{address, err}
		}
		return conn, nil
	}
}

// cloneWithRoots is a configuration that trusts these authorities.
func cloneWithRoots(config *tls.Config, roots *x509.CertPool) *tls.Config {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	config.RootCAs = roots
	return config
}
