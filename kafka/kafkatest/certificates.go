package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs certificates.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// newAuthority makes an authority of its own.
func newAuthority(name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(name, now)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{key, certificate}, err
}

// template is a certificate for a host or person of that name, good since yesterday.
func template(name string, now time.Time) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.Add(365 * 24 * time.Hour),
	}
}

// issue signs a certificate for a new key, and returns key and certificate as one PEM.
func (a *authority) issue(certificate *x509.Certificate) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate.KeyUsage = x509.KeyUsageDigitalSignature
	certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// makeCertificates writes the files of all certificates.
func (s *Secrets) makeCertificates() error {
	now := time.Now()
	ca, err := newAuthority("Test CA", now)
	if err != nil {
		return err
	}
	other, err := newAuthority("Other CA", now)
	if err != nil {
		return err
	}
	s.ca = ca
	loopback := func(c *x509.Certificate) *x509.Certificate {
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		return c
	}
	expired, otherName := loopback(template("broker", now)), template("broker", now)
	expired.NotAfter = now.Add(-time.Hour)
	otherName.DNSNames = []string{"broker.example.com"}
	errs := []error{
		os.WriteFile(s.CA(), ca.pem(), 0o644),
		os.WriteFile(s.OtherCA(), other.pem(), 0o644),
	}
	for name, certificate := range map[string]*x509.Certificate{
		"broker.pem": loopback(template("broker", now)), "client.pem": template("client", now),
		"expired.pem": expired, "other-name.pem": otherName,
	} {
		out, err := ca.issue(certificate)
		errs = append(errs, err, os.WriteFile(filepath.Join(s.Dir, name), out, 0o600))
	}
	return errors.Join(errs...)
}

// IssueClient writes key and certificate of one more client into a file of Dir.
func (s *Secrets) IssueClient(tb TB, name string, notAfter time.Time) string {
	tb.Helper()
	certificate := template(name, time.Now())
	certificate.NotAfter = notAfter
	out, err := s.ca.issue(certificate)
	file := filepath.Join(s.Dir, name+".pem")
	if err := errors.Join(err, os.WriteFile(file, out, 0o600)); err != nil {
		tb.Fatalf("issue a certificate: %v", err)
	}
	return file
}
