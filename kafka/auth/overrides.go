package auth

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// override takes name=value. There a value may be @FILE or hold ${VARIABLE}, and a
// secret must: a command line is seen by everybody on the machine.
func (s *settings) override(text string) error {
	name, value, ok := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" {
		return &Error{Where: s.overrideName, what: "the argument is not name=value", hint: "write " + s.overrideName + " security.protocol=SSL"}
	}
	where := s.overrideName + " " + name
	if holdsSecret(name, value) {
		return &Error{Where: where, what: "a secret does not belong on the command line, where everybody on the machine can see it",
			hint: fmt.Sprintf("write %[1]s %[2]s=@FILE, or %[1]s '%[2]s=${VARIABLE}', or put it into the file of properties", s.overrideName, name), input: InputProperties}
	}
	if file, ok := strings.CutPrefix(value, "@"); ok {
		b, err := s.readFile(file)
		if err != nil {
			return &Error{Where: where, what: "read its value", cause: err}
		}
		value = strings.TrimRight(string(b), "\r\n")
	} else {
		var err error
		if value, err = s.expand(name, value); err != nil {
			return &Error{Where: where, what: "read its value", cause: err}
		}
	}
	s.set(name, value, where)
	return nil
}

// variable finds ${VARIABLE}.
func variable() *regexp.Regexp { return regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`) }

// expand puts values of the environment in. In sasl.jaas.config they stand between quotes.
func (s *settings) expand(name, value string) (string, error) {
	var failed error
	out := variable().ReplaceAllStringFunc(value, func(match string) string {
		key := match[2 : len(match)-1]
		found := s.getenv(key)
		if found == "" && failed == nil {
			failed = fmt.Errorf("variable %s: %w", key, errNoSuchVariable)
		}
		if name == "sasl.jaas.config" && match != value {
			found = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(found)
		}
		return found
	})
	return out, failed
}

// holdsSecret tells whether a value of the command line is a secret itself, and not where
// to find it.
func holdsSecret(name, value string) bool {
	elsewhere := func(v string) bool {
		return v == "" || strings.HasPrefix(v, "@") || variable().FindString(v) == v
	}
	if elsewhere(value) {
		return false
	}
	if name == "sasl.jaas.config" {
		entry, err := parseJaas(value)
		if err != nil {
			return true // who knows what it holds
		}
		for option, v := range entry.options {
			if isSecretOption(option) && !elsewhere(v) {
				return true
			}
		}
		return false
	}
	return isSecretName(name)
}

func isSecretName(name string) bool {
	if slices.Contains([]string{"ssl.keystore.key", "ssl.key.pem", "sasl.oauthbearer.config", "basic.auth.user.info"}, name) {
		return true
	}
	return strings.HasSuffix(name, "password") || strings.HasSuffix(name, "passphrase") || strings.HasSuffix(name, ".secret") ||
		strings.HasSuffix(name, ".key.pem") || strings.HasSuffix(name, "user.info")
}

// isSecretOption tells of options in sasl.jaas.config: all but those that surely are none.
func isSecretOption(option string) bool {
	public := []string{
		"username", "tokenauth", "clientId", "scope", "useKeyTab", "keyTab", "principal", "useTicketCache", "ticketCache", "storeKey",
		"serviceName", "doNotPrompt", "renewTGT", "refreshKrb5Config", "isInitiator", "debug", "awsProfileName", "awsRoleArn",
		"awsRoleSessionName", "awsStsRegion", "awsDebugCreds", "awsMaxRetries", "awsMaxBackOffTimeMs",
	}
	return !slices.Contains(public, option) && !strings.HasPrefix(option, "extension_")
}
