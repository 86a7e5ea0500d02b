package auth

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// keyFiles are certificates, and keys where they are a client's: of one file, of two in
// PEM, or inline.
type keyFiles struct {
	where            string // the property that names them
	store            string
	storePassword    string
	certificate, key string // files of their own, in PEM
	inline           []byte // PEM
	keyPassword      string
}

func (k *keyFiles) files() (files []string) {
	for _, file := range []string{k.store, k.certificate, k.key} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

func (t *tlsSource) readStores(s *settings) {
	where := func(names ...string) string {
		for _, name := range names {
			if s.has(name) {
				return s.byName[name].where + ": " + name
			}
		}
		return ""
	}
	t.trust = keyFiles{
		where: where("ssl.truststore.location", "ssl.truststore.certificates"),
		store: s.value("ssl.truststore.location"), storePassword: s.value("ssl.truststore.password"),
		inline: []byte(s.value("ssl.truststore.certificates")),
	}
	t.key = keyFiles{
		where: where("ssl.keystore.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.key", "ssl.keystore.certificate.chain"),
		store: s.value("ssl.keystore.location"), storePassword: s.value("ssl.keystore.password"),
		certificate: s.value("ssl.certificate.location"), key: s.value("ssl.key.location"),
		inline:      []byte(s.value("ssl.keystore.key") + "\n" + s.value("ssl.keystore.certificate.chain")),
		keyPassword: s.value("ssl.key.password"),
	}
}

func (k *keyFiles) fault(what string, cause error, hint string) *Error {
	return &Error{Where: k.where, what: what, cause: cause, hint: hint}
}

// contents reads what there is: PEM together, or a store.
func (k *keyFiles) contents() (text []byte, err error) {
	text = slices.Clone(k.inline)
	for _, file := range k.files() {
		b, err := readFile(file)
		if err != nil {
			return nil, k.fault("read it", err, "")
		}
		if len(bytes.TrimSpace(text)) == 0 && !isPEM(b) {
			text = b
			continue
		}
		text = slices.Concat(text, []byte("\n"), b)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	return text, nil
}

func isPEM(b []byte) bool { return bytes.Contains(b, []byte("-----BEGIN ")) }
func isJKS(b []byte) bool { return bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}) }

const hintStore = "it must be PEM, PKCS12 or JKS; check the password; keytool -list -keystore FILE shows what is in it"

// roots are the authorities that are trusted; nil are the system's.
func (k *keyFiles) roots() (*x509.CertPool, error) {
	certificates, err := k.certificates()
	if err != nil || len(certificates) == 0 {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool, nil
}

// certificates are those of authorities; none if none are named.
func (k *keyFiles) certificates() (certificates []*x509.Certificate, err error) {
	text, err := k.contents()
	if err != nil || text == nil {
		return nil, err
	}
	switch {
	case isPEM(text):
		certificates, err = pemCertificates(text)
	case isJKS(text):
		certificates, err = jksTrusted(text, k.storePassword)
	default:
		certificates, err = pkcs12Trusted(text, k.storePassword)
	}
	if err == nil && len(certificates) == 0 {
		err = errors.New("it holds no certificate of an authority")
	}
	if err != nil {
		return nil, k.fault("read authorities", err, hintStore)
	}
	return certificates, nil
}

// keyPairs are the client's certificates with their keys; none if none are given.
func (k *keyFiles) keyPairs() ([]tls.Certificate, error) {
	text, err := k.contents()
	if err != nil || text == nil {
		return nil, err
	}
	keyPassword := k.keyPassword
	if keyPassword == "" {
		keyPassword = k.storePassword
	}
	var pairs []tls.Certificate
	switch {
	case isPEM(text):
		pairs, err = pemKeyPair(text, keyPassword)
	case isJKS(text):
		pairs, err = jksKeyPairs(text, k.storePassword, keyPassword)
	default:
		pairs, err = pkcs12KeyPair(text, k.storePassword)
	}
	if err == nil && len(pairs) == 0 {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return nil, k.fault("read the client's key and certificate", err, hintStore)
	}
	return pairs, nil
}

func pemCertificates(text []byte) (certificates []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func pemKeyPair(text []byte, password string) ([]tls.Certificate, error) {
	certificates, err := pemCertificates(text)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := pemKey(block, password)
		if err != nil {
			return nil, err
		}
		if key != nil {
			return pair(key, certificates)
		}
	}
	return nil, errors.New("it holds no private key in PEM")
}

// pemKey is the private key in a block; nil if there is something else in it.
func pemKey(block *pem.Block, password string) (key any, err error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		if password == "" {
			return nil, errors.New("the key is encrypted, and ssl.key.password is missing")
		}
		if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(password)); err != nil {
			return nil, errors.New("ssl.key.password does not open the key, or its encryption is not known here")
		}
	case "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the key is encrypted in an old form: turn it into PKCS#8 with openssl pkcs8 -topk8")
		}
		if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); block.Type == "EC PRIVATE KEY" {
			key, err = x509.ParseECPrivateKey(block.Bytes)
		}
	default:
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, errors.New("the private key cannot be read")
	}
	return key, nil
}

// pair puts the key's own certificate first.
func pair(key any, certificates []*x509.Certificate) ([]tls.Certificate, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key is of a kind that signs nothing")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, errors.New("the key is of an unknown kind")
	}
	own := slices.IndexFunc(certificates, func(c *x509.Certificate) bool { return public.Equal(c.PublicKey) })
	if own < 0 {
		return nil, errors.New("none of the certificates belongs to the key")
	}
	out := tls.Certificate{PrivateKey: key, Leaf: certificates[own], Certificate: [][]byte{certificates[own].Raw}}
	for i, certificate := range certificates {
		if i != own {
			out.Certificate = append(out.Certificate, certificate.Raw)
		}
	}
	return []tls.Certificate{out}, nil
}

func pkcs12Trusted(b []byte, password string) ([]*x509.Certificate, error) {
	certificates, err := pkcs12.DecodeTrustStore(b, password)
	if err == nil || errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return certificates, err
	}
	// A store with the client's key may hold the authority as well.
	_, certificate, others, chainErr := pkcs12.DecodeChain(b, password)
	if chainErr != nil {
		return nil, err
	}
	return append(others, certificate), nil
}

func pkcs12KeyPair(b []byte, password string) ([]tls.Certificate, error) {
	key, certificate, others, err := pkcs12.DecodeChain(b, password)
	if err != nil {
		return nil, err
	}
	return pair(key, append([]*x509.Certificate{certificate}, others...))
}

// loadJKS opens a store. Without a password, as in Java, it is not proved to be unaltered.
func loadJKS(b []byte, password string) (keystore.KeyStore, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	if password == "" && len(b) > sha1.Size {
		b = slices.Concat(b[:len(b)-sha1.Size], jksDigest(b[:len(b)-sha1.Size]))
	}
	if err := store.Load(bytes.NewReader(b), []byte(password)); err != nil {
		return store, fmt.Errorf("open the JKS store: %w", err)
	}
	return store, nil
}

// jksDigest is the digest that a store would have under an empty password.
func jksDigest(b []byte) []byte {
	sum := sha1.New()
	_, _ = sum.Write([]byte("Mighty Aphrodite"))
	_, _ = sum.Write(b)
	return sum.Sum(nil)
}

func jksTrusted(b []byte, password string) (certificates []*x509.Certificate, err error) {
	store, err := loadJKS(b, password)
	if err != nil {
		return nil, err
	}
	for _, alias := range store.Aliases() {
		var raw []byte
		if store.IsTrustedCertificateEntry(alias) {
			entry, err := store.GetTrustedCertificateEntry(alias)
			if err != nil {
				return nil, err
			}
			raw = entry.Certificate.Content
		} else {
			chain, err := store.GetPrivateKeyEntryCertificateChain(alias)
			if err != nil || len(chain) == 0 {
				continue
			}
			raw = chain[0].Content
		}
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("a certificate in the store: %w", err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func jksKeyPairs(b []byte, storePassword, keyPassword string) (pairs []tls.Certificate, err error) {
	store, err := loadJKS(b, storePassword)
	if err != nil {
		return nil, err
	}
	for _, alias := range store.Aliases() {
		if !store.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := store.GetPrivateKeyEntry(alias, []byte(keyPassword))
		if err != nil {
			return nil, errors.New("ssl.key.password (or ssl.keystore.password, where it is missing) does not open a key in the store")
		}
		key, err := x509.ParsePKCS8PrivateKey(entry.PrivateKey)
		if err != nil {
			return nil, errors.New("a private key in the store cannot be read")
		}
		var certificates []*x509.Certificate
		for _, raw := range entry.CertificateChain {
			certificate, err := x509.ParseCertificate(raw.Content)
			if err != nil {
				return nil, fmt.Errorf("a certificate in the store: %w", err)
			}
			certificates = append(certificates, certificate)
		}
		one, err := pair(key, certificates)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, one...)
	}
	return pairs, nil
}
