package auth

import (
	_ "embed" // for the lists of names
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"coldstream"
)

// maxFile bounds what is read of a file with properties, certificates or tokens.
const maxFile = 16 << 20

// setting is the value of a property and where it was given.
type setting struct{ value, where string }

// settings are properties by Java's names, as far as other clients' names have one.
type settings struct {
	byName       map[string]setting
	getenv       func(string) string
	files        []File // that were read for values
	overrideName string
	overriding   bool // what is set now wins over the file
}

func (s *settings) has(name string) bool { return s.byName[name].value != "" }

func (s *settings) value(name string) string { return s.byName[name].value }

// fault is an error about a property.
func (s *settings) fault(name, what, hint string) *Error {
	return &Error{Where: s.byName[name].where, what: name + " " + what, hint: hint}
}

// set gives a property a value, by whatever name a client knows it.
func (s *settings) set(name, value, where string) {
	if java, ok := javaNames()[name]; ok {
		name = java
	}
	if s.overriding {
		// Two ways to say the same: what is given later holds.
		for _, group := range [][]string{
			{"ssl.truststore.location", "ssl.truststore.certificates"},
			{"ssl.keystore.location", "ssl.keystore.certificate.chain", "ssl.certificate.location"},
			{"ssl.keystore.location", "ssl.keystore.key", "ssl.key.location"},
		} {
			if slices.Contains(group, name) {
				maps.DeleteFunc(s.byName, func(other string, _ setting) bool { return slices.Contains(group, other) })
			}
		}
	}
	s.byName[name] = setting{value, where}
}

// javaNames are librdkafka's names of what Java has another name for.
func javaNames() map[string]string {
	return map[string]string{
		"metadata.broker.list":           "bootstrap.servers",
		"socket.timeout.ms":              "request.timeout.ms",
		"sasl.mechanisms":                "sasl.mechanism",
		"ssl.ca.location":                "ssl.truststore.location",
		"ssl.ca.pem":                     "ssl.truststore.certificates",
		"ssl.certificate.pem":            "ssl.keystore.certificate.chain",
		"ssl.key.pem":                    "ssl.keystore.key",
		"sasl.oauthbearer.client.id":     "sasl.oauthbearer.client.credentials.client.id",
		"sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
	}
}

// read reads the file, resolves what its values refer to, and puts overrides over it.
func (s *settings) read(src Source) error {
	if src.File != "" {
		b, err := s.readFile(src.File)
		if err != nil {
			return &Error{Where: src.File, what: "read properties", input: InputProperties, cause: err}
		}
		properties, err := parseProperties(b)
		if err != nil {
			return &Error{Where: src.File, what: "read properties", cause: err}
		}
		for _, p := range properties {
			s.set(strings.TrimSpace(p.name), p.value, fmt.Sprintf("%s, line %d", src.File, p.line))
		}
		if err := s.resolveProviders(); err != nil {
			return err
		}
	}
	s.overriding = true
	for _, text := range src.Overrides {
		if err := s.override(text); err != nil {
			return err
		}
	}
	return nil
}

// readFile reads a file for a value, and notes that it did.
func (s *settings) readFile(name string) ([]byte, error) {
	b, err := readFile(name)
	s.files = append(s.files, File{name, b})
	return b, err
}

// readFile reads a file that is not larger than any that makes sense.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("read %s: larger than %d MiB", name, maxFile>>20)
	}
	return b, err
}

var (
	//go:embed names/java.txt
	javaList string
	//go:embed names/librdkafka.txt
	librdkafkaList string
	//go:embed names/understood.txt
	understoodList string
)

// understood are the names that mean something here.
func understood() []string { return strings.Fields(understoodList) }

// others are names that other clients know, and prefixes of such, which end in a dot.
func others() []string {
	return slices.Concat(strings.Fields(javaList), strings.Fields(librdkafkaList), []string{
		"producer.", "consumer.", "admin.", "topic.", "schema.registry.", "basic.auth.", "bearer.auth.", "confluent.",
	})
}

func isKnown(name string, names []string) bool {
	return slices.ContainsFunc(names, func(known string) bool {
		return name == known || strings.HasSuffix(known, ".") && strings.HasPrefix(name, known)
	})
}

// guards tells of names that decide over encryption and logins: one of these that nobody
// knows is a protection that is not there.
func guards(name string) bool {
	for _, prefix := range []string{"security.", "sasl.", "ssl."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// refused are names that promise what cannot be given here, and what to do.
func refused() map[string]string {
	const handler = "write certificates and logins with ssl.* and sasl.* properties instead"
	const grant = "use client credentials: sasl.oauthbearer.client.credentials.client.id and .client.secret, or a token file"
	return map[string]string{
		"ssl.engine.factory.class":                    handler,
		"sasl.login.class":                            handler,
		"security.providers":                          handler,
		"ssl.crl.location":                            "certificates that were revoked are not looked for: leave it out",
		"sasl.oauthbearer.config":                     "write sasl.oauthbearer.token.endpoint.url and client credentials",
		"sasl.oauthbearer.assertion.file":             grant,
		"sasl.oauthbearer.assertion.private.key.file": grant,
		"sasl.oauthbearer.assertion.private.key.pem":  grant,
	}
}

// checkNames sorts out names that mean nothing here.
func (s *settings) checkNames(c *Config) error {
	ours, theirs := understood(), others()
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		where := s.byName[name].where
		if hint, ok := refused()[name]; ok && s.has(name) {
			return &Error{Where: where, what: name + " is not supported", hint: hint}
		}
		switch {
		case name == "" || isKnown(name, ours) || strings.HasPrefix(name, "config.providers."):
		case isKnown(name, theirs):
			c.PassedOver = append(c.PassedOver, name)
		case guards(name):
			return &Error{Where: where, what: fmt.Sprintf("no client knows a property %q", name), hint: didYouMean(name)}
		default:
			warning := fmt.Sprintf("%s: no client knows a property %q; it is passed over", where, name)
			if near := didYouMean(name); near != "" {
				warning += " (" + near + ")"
			}
			c.Warnings = append(c.Warnings, warning)
		}
	}
	return nil
}

func didYouMean(name string) string {
	near := coldstream.Nearest(name, understood())
	if len(near) == 0 {
		near = coldstream.Nearest(name, others())
	}
	if len(near) == 0 {
		return ""
	}
	return "did you mean " + near[0] + "?"
}

var errNoSuchVariable = errors.New("the environment has no such variable, or it is empty")
