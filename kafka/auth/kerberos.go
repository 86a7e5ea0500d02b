package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"
)

const moduleKerberos = "com.sun.security.auth.module.Krb5LoginModule"

// ticketSource makes a Kerberos client from a keytab or a ticket cache.
type ticketSource struct {
	service       string
	principal     string
	keytab, cache string
	configuration string
	mu            sync.Mutex
	stamp         stamp
	client        *client.Client
}

// kerberos reads the options of Java's login module, and librdkafka's names.
func (m *mechanismMaker) kerberos() (sasl.Mechanism, error) {
	s, o := m.settings, m.jaas.options
	if err := m.wants(moduleKerberos); err != nil {
		return nil, err
	}
	t := &ticketSource{service: s.value("sasl.kerberos.service.name"), principal: o["principal"], configuration: "/etc/krb5.conf"}
	if t.service == "" {
		t.service = o["serviceName"]
	}
	if t.service == "" {
		return nil, s.fault("sasl.kerberos.service.name", "is missing: GSSAPI wants the first part of the brokers' principals", "write sasl.kerberos.service.name=kafka")
	}
	if file := s.getenv("KRB5_CONFIG"); file != "" {
		t.configuration, _, _ = strings.Cut(file, ":")
	}
	if s.has("sasl.kerberos.principal") {
		t.principal = s.value("sasl.kerberos.principal")
	}
	switch {
	case s.has("sasl.kerberos.keytab"):
		t.keytab = s.value("sasl.kerberos.keytab")
	case strings.EqualFold(o["useKeyTab"], "true"):
		t.keytab = o["keyTab"]
	default:
		t.cache = t.defaultCache(s, o["ticketCache"])
	}
	t.keytab, t.cache = strings.TrimPrefix(t.keytab, "FILE:"), strings.TrimPrefix(t.cache, "FILE:")
	switch {
	case t.keytab == "" && t.cache == "":
		return nil, s.fault("sasl.jaas.config", "has useKeyTab without keyTab", `write useKeyTab=true keyTab="FILE" principal="user@REALM"`)
	case t.keytab != "" && t.principal == "":
		return nil, s.fault("sasl.jaas.config", "has a keytab and no principal", `write principal="user@REALM"`)
	}
	m.login.user = t.principal
	return kerberos.Kerberos(t.auth), nil
}

// defaultCache is where kinit leaves tickets, unless it is said.
func (t *ticketSource) defaultCache(s *settings, given string) string {
	if given != "" {
		return given
	}
	if cache := s.getenv("KRB5CCNAME"); cache != "" {
		return cache
	}
	return filepath.Join("/", "tmp", fmt.Sprintf("krb5cc_%d", os.Getuid())) // wherever TMPDIR is
}

// auth returns the client, which is made again when the file has changed.
func (t *ticketSource) auth(context.Context) (kerberos.Auth, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file := t.keytab
	if file == "" {
		file = t.cache
	}
	now, err := stampOf(file)
	if err != nil {
		return kerberos.Auth{}, t.fault("read "+t.kind(), err)
	}
	if t.client == nil || now != t.stamp {
		c, err := t.newClient()
		if err != nil {
			return kerberos.Auth{}, err
		}
		if t.client != nil {
			t.client.Destroy() // a login that is under way with it is tried again
		}
		t.client, t.stamp = c, now
	}
	return kerberos.Auth{Client: t.client, Service: t.service, PersistAfterAuth: true}, nil
}

func (t *ticketSource) kind() string {
	if t.keytab != "" {
		return "the keytab"
	}
	return "the ticket cache"
}

func (t *ticketSource) fault(what string, cause error) error {
	hint := "get a ticket with kinit, or name a keytab: useKeyTab=true keyTab=… principal=… in sasl.jaas.config"
	if t.keytab != "" {
		hint = "look at it with klist -kt, and check principal and realm"
	}
	return &tokenError{what: what, cause: cause, hint: hint}
}

func (t *ticketSource) newClient() (*client.Client, error) {
	conf, err := config.Load(t.configuration)
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) {
		return nil, &tokenError{what: "read the Kerberos configuration " + t.configuration, cause: err, hint: "write it, or name another file with KRB5_CONFIG"}
	}
	if t.keytab == "" {
		cache, err := credentials.LoadCCache(t.cache)
		if err != nil {
			return nil, t.fault("read the ticket cache "+t.cache, err)
		}
		c, err := client.NewFromCCache(cache, conf, client.DisablePAFXFAST(true))
		if err != nil {
			return nil, t.fault("take tickets from "+t.cache, err)
		}
		return c, nil
	}
	keys, err := keytab.Load(t.keytab)
	if err != nil {
		return nil, t.fault("read the keytab "+t.keytab, err)
	}
	name, realm, ok := strings.Cut(t.principal, "@")
	if !ok {
		realm = conf.LibDefaults.DefaultRealm
	}
	c := client.NewWithKeytab(name, realm, keys, conf, client.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		return nil, t.fault("log in at the key distribution center of "+realm, err)
	}
	return c, nil
}
