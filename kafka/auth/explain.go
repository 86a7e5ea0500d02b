package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// LoginError says in a sentence why a broker and this client do not come together, and
// what to change.
type LoginError struct {
	what, hint string
	input      Input
	definite   bool
	cause      error
	said       string // of the cause, where that is not its own text
}

func (e *LoginError) Error() string {
	switch {
	case e.said != "":
		return e.what + ": " + e.said
	case e.cause == nil:
		return e.what
	}
	return e.what + ": " + e.cause.Error()
}

func (e *LoginError) Unwrap() error { return e.cause }

// Hint says what to change.
func (e *LoginError) Hint() string { return e.hint }

// Input is what the hint speaks of; empty if that is no one thing.
func (e *LoginError) Input() Input { return e.input }

// Definite tells of errors that trying again does not mend.
func (e *LoginError) Definite() bool { return e.definite }

// Explain turns an error of a connection into a *LoginError, where it is about TLS or the
// login; others it returns as they are.
func (c *Config) Explain(err error) error {
	if err == nil {
		return nil
	}
	if c == nil {
		c = &Config{protocol: plaintext}
	}
	c = c.current()
	var done *LoginError
	if errors.As(err, &done) {
		return err
	}
	for _, explain := range []func(error) *LoginError{c.explainPrepare, c.explainSASL, c.explainTLS, c.explainPlain} {
		if e := explain(err); e != nil {
			return e
		}
	}
	return err
}

// saidNothing is all that brokers do about what they do not understand.
const saidNothing = "it closed the connection without an answer"

// explainPrepare is about logins that did not reach the broker.
func (c *Config) explainPrepare(err error) *LoginError {
	var prepare *prepareError
	if c.login == nil || !errors.As(err, &prepare) {
		return nil
	}
	e := &LoginError{what: c.login.String() + " cannot begin", cause: prepare.err, definite: true}
	var hinted interface{ Hint() string }
	if errors.As(prepare.err, &hinted) {
		e.hint = hinted.Hint()
	} else if c.login.mechanism == "GSSAPI" {
		e.hint = "check sasl.kerberos.service.name, and that the key distribution center knows the brokers by the names that clients connect to"
	}
	var retry interface{ Retriable() bool }
	if errors.As(prepare.err, &retry) {
		e.definite = !retry.Retriable()
	}
	return e
}

// explainSASL is about what brokers answer to a login.
func (c *Config) explainSASL(err error) *LoginError {
	e := &LoginError{cause: err, definite: true}
	switch {
	case errors.Is(err, kerr.IllegalSaslState) && c.login != nil:
		e.what = "the listener asks for no login, and " + c.protocol + " is set"
		e.hint = "write security.protocol=" + strings.TrimPrefix(strings.Replace(c.protocol, saslPlaintext, "SASL_"+plaintext, 1), "SASL_") + ", or take the port of a listener with a login"
	case c.login == nil:
		return nil
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		e.what = c.login.String() + " was refused"
		e.hint = "check user and password" + in(c.login.where) + ", and that the cluster knows the user for " + c.login.mechanism
		if c.login.user == "" {
			e.hint = "check what the brokers accept for " + c.login.mechanism
		}
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		e.what = "the listener does not offer sasl.mechanism=" + c.login.mechanism
		e.hint = "write the mechanism that the brokers offer (sasl.enabled.mechanisms there), or take the port of another listener"
	case strings.Contains(err.Error(), "invalid server signature") || strings.Contains(err.Error(), "server verifier"):
		e.what = c.login.String() + ": the broker does not prove that it knows the password"
		e.hint, e.input = "this may not be your cluster: check its address", InputAddress
	default:
		return nil
	}
	return e
}

func in(where string) string {
	if where == "" {
		return ""
	}
	return " (" + where + ")"
}

// explainTLS is about handshakes.
func (c *Config) explainTLS(err error) *LoginError {
	if c.tls == nil {
		return nil
	}
	if e := c.explainCertificate(err); e != nil {
		return e
	}
	if e := c.explainAlert(err); e != nil {
		return e
	}
	var handshake *tlsError
	var header tls.RecordHeaderError
	if errors.As(err, &header) || errors.As(err, &handshake) && isEOF(err) || c.login == nil && isFirstReadOf(err, "after a dial") {
		return &LoginError{what: "the listener does not speak TLS, and security.protocol=" + c.protocol + " is set", cause: err, said: saidNothing, definite: true,
			hint: "write security.protocol=" + withoutTLS(c.protocol) + ", or take the port of a listener with TLS"}
	}
	if isFirstReadOf(err, "after a request") && c.login == nil {
		return c.wantsLogin(err)
	}
	return nil
}

func withoutTLS(protocol string) string {
	if protocol == saslTLS {
		return saslPlaintext
	}
	return plaintext
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isFirstReadOf(err error, words string) bool {
	var first *kgo.ErrFirstReadEOF
	return errors.As(err, &first) && strings.Contains(first.Error(), words)
}

// explainCertificate is about the broker's certificate.
func (c *Config) explainCertificate(err error) *LoginError {
	e := &LoginError{definite: true, cause: err}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	const truststore = "name the authority of the brokers' certificates with ssl.truststore.location"
	switch {
	case errors.As(err, &authority):
		e.said = authority.Error()
		e.what, e.hint = "the broker's certificate is of an authority that is not trusted", truststore
		if where := c.tls.trust.where; where != "" {
			e.hint = "put the authority of the brokers' certificates into what ssl.truststore names (" + where + ")"
		}
		if authority.Cert != nil {
			e.hint += "; it is " + authority.Cert.Issuer.String()
		}
	case errors.As(err, &name):
		e.said, e.what = name.Error(), "the broker's certificate is for another name"
		if names := namesOf(name.Certificate); names != "" {
			e.what += " (" + names + ")"
		}
		e.hint = "connect by a name that the certificate has, or make one for this name; ssl.endpoint.identification.algorithm= (empty) turns the check off"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.said, e.what = invalid.Error(), "the broker's certificate has expired, or is not valid yet"
		e.hint = "renew the broker's certificate, and check the clocks of both machines"
	case errors.As(err, &invalid):
		e.said = invalid.Error()
		e.what, e.hint = "the broker's certificate is not valid", "look at it with: openssl s_client -showcerts -connect HOST:PORT"
	default:
		return nil
	}
	return e
}

// namesOf are the names that a certificate is for.
func namesOf(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, ", ")
}

// explainAlert is about what the broker says of this client in the handshake, or, in TLS
// 1.3, behind it.
func (c *Config) explainAlert(err error) *LoginError {
	var alert tls.AlertError
	var remote *net.OpError
	text := err.Error()
	if !errors.As(err, &alert) && !(errors.As(err, &remote) && remote.Op == "remote error") {
		return nil
	}
	e := &LoginError{definite: true, cause: err}
	if remote != nil {
		e.said = remote.Error()
	}
	switch own := c.tls.key.where; {
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate") && own == "":
		e.what = "the broker wants a certificate of the client"
		e.hint = "name it and its key with ssl.keystore.location, or take the port of a listener without mutual TLS"
	case strings.Contains(text, "certificate"), strings.Contains(text, "unknown ca"):
		e.what = "the broker refused the client's certificate"
		e.hint = "check that it is valid, and of an authority that the brokers trust (" + own + ")"
	case strings.Contains(text, "protocol version"), strings.Contains(text, "handshake failure"):
		e.what = "the broker and this client have no protocol or cipher suite of TLS in common"
		e.hint = "check ssl.enabled.protocols and ssl.cipher.suites"
	default:
		return nil
	}
	return e
}

// explainPlain is about connections without TLS.
func (c *Config) explainPlain(err error) *LoginError {
	switch {
	case c.tls != nil:
		return nil
	case strings.Contains(err.Error(), "tls alert record"), isFirstReadOf(err, "api versions"):
		said := saidNothing
		if strings.Contains(err.Error(), "tls alert record") {
			said = "it answered with an alert of TLS"
		}
		protocol := overTLS
		if c.login != nil {
			protocol = saslTLS
		}
		return &LoginError{what: "the listener wants TLS, and security.protocol=" + c.protocol + " is set", cause: err, said: said, definite: true,
			input: InputProperties,
			hint:  "write security.protocol=" + protocol + " in the properties, or take the port of a listener without TLS"}
	case isFirstReadOf(err, "after a request") && c.login == nil:
		return c.wantsLogin(err)
	}
	return nil
}

func (c *Config) wantsLogin(err error) *LoginError {
	protocol := saslPlaintext
	if c.tls != nil {
		protocol = saslTLS
	}
	return &LoginError{what: "the listener wants a login, and security.protocol=" + c.protocol + " is set", cause: err, said: saidNothing, definite: true,
		hint: "write security.protocol=" + protocol + ", sasl.mechanism and sasl.jaas.config in the properties", input: InputProperties}
}
