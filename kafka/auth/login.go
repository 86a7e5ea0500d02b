package auth

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// login is who logs in, and how: for errors.
type login struct {
	mechanism string
	user      string // empty where a token or a ticket says it
	where     string // the property that says so
}

func (l *login) String() string {
	if l.user == "" {
		return "login with " + l.mechanism
	}
	return fmt.Sprintf("login as %q with %s", l.user, l.mechanism)
}

// tracked marks errors of a mechanism that come before the broker is asked.
type tracked struct{ sasl.Mechanism }

// prepareError is a login that could not even begin: no token, no credentials, no ticket.
type prepareError struct{ err error }

func (e *prepareError) Error() string { return e.err.Error() }
func (e *prepareError) Unwrap() error { return e.err }

func (t tracked) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := t.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, &prepareError{err}
	}
	return session, first, nil
}

const (
	modulePlain = "org.apache.kafka.common.security.plain.PlainLoginModule"
	moduleScram = "org.apache.kafka.common.security.scram.ScramLoginModule"
)

// understandLogin reads sasl.mechanism and what belongs to it.
func (c *Config) understandLogin(s *settings) error {
	var entry jaasEntry
	if s.has("sasl.jaas.config") {
		var err error
		if entry, err = parseJaas(s.value("sasl.jaas.config")); err != nil {
			fault := s.fault("sasl.jaas.config", "cannot be read", `write: MODULE required name="value" …; with the semicolon`)
			fault.cause = err
			return fault
		}
	}
	c.login = &login{mechanism: strings.ToUpper(strings.TrimSpace(s.value("sasl.mechanism"))), where: s.byName["sasl.jaas.config"].where}
	if c.login.mechanism == "" {
		if entry.module != moduleKerberos && !s.has("sasl.kerberos.service.name") {
			return &Error{Where: s.byName["security.protocol"].where, what: "sasl.mechanism is missing, and nothing here is for Kafka's default, GSSAPI",
				hint: "write sasl.mechanism=SCRAM-SHA-512, or whatever the brokers offer"}
		}
		c.login.mechanism = "GSSAPI"
	}
	m := mechanismMaker{settings: s, jaas: entry, config: c, login: c.login}
	var err error
	switch c.login.mechanism {
	case "PLAIN":
		c.mechanism, err = m.plain()
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		c.mechanism, err = m.scram()
	case "OAUTHBEARER":
		c.mechanism, err = m.oauthBearer()
	case "AWS_MSK_IAM":
		if err = m.wants(moduleIAM); err == nil {
			var signer *awsSigner
			signer, err = m.awsSigner()
			c.mechanism = mskIAM{signer}
		}
	case "GSSAPI":
		c.mechanism, err = m.kerberos()
	default:
		return s.fault("sasl.mechanism", "is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM, GSSAPI", "")
	}
	if err != nil {
		return err
	}
	c.mechanism = tracked{c.mechanism}
	return nil
}

// mechanismMaker makes the mechanism from the login module's options and properties.
type mechanismMaker struct {
	settings *settings
	jaas     jaasEntry
	config   *Config
	login    *login
}

// wants fails unless sasl.jaas.config, where there is one, names one of these modules.
func (m *mechanismMaker) wants(modules ...string) error {
	if m.jaas.module == "" {
		return nil
	}
	for _, module := range modules {
		if m.jaas.module == module {
			return nil
		}
	}
	return m.settings.fault("sasl.jaas.config", "names a login module that does not belong to sasl.mechanism="+m.login.mechanism, "write "+modules[0])
}

// password finds user and password: of sasl.username and sasl.password, else of
// sasl.jaas.config.
func (m *mechanismMaker) password() (user, password string, err error) {
	user, password = m.jaas.options["username"], m.jaas.options["password"]
	if m.settings.has("sasl.username") {
		user = m.settings.value("sasl.username")
		m.login.where = m.settings.byName["sasl.username"].where
	}
	if m.settings.has("sasl.password") {
		password = m.settings.value("sasl.password")
	}
	if user == "" || password == "" {
		what := "user or password is missing"
		if m.jaas.module == "" && !m.settings.has("sasl.username") {
			what = "sasl.jaas.config is missing"
		}
		return "", "", &Error{Where: m.login.where, what: m.login.mechanism + " wants user and password: " + what,
			hint: `write sasl.jaas.config=` + m.passwordModule() + ` required username="…" password="…"; or sasl.username and sasl.password`}
	}
	m.login.user = user
	return user, password, nil
}

func (m *mechanismMaker) passwordModule() string {
	if m.login.mechanism == "PLAIN" {
		return modulePlain
	}
	return moduleScram
}

func (m *mechanismMaker) plain() (sasl.Mechanism, error) {
	if err := m.wants(modulePlain); err != nil {
		return nil, err
	}
	user, password, err := m.password()
	if err != nil {
		return nil, err
	}
	if m.config.protocol == saslPlaintext {
		m.config.Warnings = append(m.config.Warnings, "sasl.mechanism=PLAIN over SASL_PLAINTEXT sends the password where everybody on the way can read it")
	}
	return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
}

func (m *mechanismMaker) scram() (sasl.Mechanism, error) {
	if err := m.wants(moduleScram); err != nil {
		return nil, err
	}
	user, password, err := m.password()
	if err != nil {
		return nil, err
	}
	auth := scram.Auth{User: user, Pass: password, IsToken: strings.EqualFold(m.jaas.options["tokenauth"], "true")}
	if m.login.mechanism == "SCRAM-SHA-256" {
		return auth.AsSha256Mechanism(), nil
	}
	return auth.AsSha512Mechanism(), nil
}
