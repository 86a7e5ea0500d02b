package auth

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// load reads a properties file with this text, and overrides.
func load(t *testing.T, text string, overrides ...string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Source{File: file, Overrides: overrides, OverrideName: "-X", Getenv: os.Getenv})
}

func mustLoad(t *testing.T, text string, overrides ...string) *Config {
	t.Helper()
	c, err := load(t, text, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refuses wants an error that says all of these, hint included, and no secret.
func refuses(t *testing.T, err error, says ...string) {
	t.Helper()
	var usage *Error
	if !errors.As(err, &usage) {
		t.Errorf("got %v, want an error that says %q", err, says)
		return
	}
	text := usage.Error() + "\n" + usage.UsageHint()
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in: %s", s, text)
		}
	}
	if strings.Contains(text, "canary") {
		t.Errorf("a secret is in: %s", text)
	}
}

const scramFile = `bootstrap.servers = one:9092 , two:9093
security.protocol=sasl_plaintext
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
  username="alice" \
  password="canary";
client.id=nightly
request.timeout.ms=20000
socket.connection.setup.timeout.ms=3000
metadata.max.age.ms=60000
`

func TestLoad(t *testing.T) {
	c := mustLoad(t, scramFile+"acks=all\nretries=3\n")
	if diff := cmp.Diff([]string{"one:9092", "two:9093"}, c.Bootstrap); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"acks", "retries"}, c.PassedOver); diff != "" || len(c.Warnings) > 0 {
		t.Errorf("%s %q", diff, c.Warnings)
	}
	if c.login.String() != `login as "alice" with SCRAM-SHA-256` || c.mechanism.Name() != "SCRAM-SHA-256" || c.clientID != "nightly" {
		t.Errorf("%v %s %s", c.login, c.mechanism.Name(), c.clientID)
	}
	if c.requestTimeout != 20*time.Second || c.setupTimeout != 3*time.Second || c.metadataMaxAge != time.Minute {
		t.Errorf("%s %s %s", c.requestTimeout, c.setupTimeout, c.metadataMaxAge)
	}
}

func TestUnknownNames(t *testing.T) {
	_, err := load(t, "a=b\nsecurity.protcol=SASL_SSL\n")
	refuses(t, err, "line 2", `"security.protcol"`, "did you mean security.protocol?")
	_, err = load(t, "ssl.truststore.file=x\n")
	refuses(t, err, "line 1", "did you mean ssl.truststore.")
	_, err = load(t, "", "sasl.user=alice")
	refuses(t, err, "-X sasl.user")
	for _, name := range []string{"ssl.engine.factory.class", "ssl.crl.location", "sasl.login.class", "security.providers"} {
		_, err := load(t, name+"=x\n")
		refuses(t, err, name+" is not supported")
	}
	c := mustLoad(t, "client.idd=x\nschema.registry.url=x\nconfluent.balancer.topic=x\nsession.timeout.ms=1\nqueued.min.messages=1\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], `line 1: no client knows a property "client.idd"`) || !strings.Contains(c.Warnings[0], "did you mean client.id?") {
		t.Errorf("%q", c.Warnings)
	}
	if len(c.PassedOver) != 4 {
		t.Errorf("%q", c.PassedOver)
	}
}

func TestBadValues(t *testing.T) {
	for text, want := range map[string]string{
		"security.protocol=TLS\n":                                                           "none of PLAINTEXT, SSL",
		"request.timeout.ms=canary\n":                                                       "not a number of milliseconds",
		"metadata.max.age.ms=0\n":                                                           "not a number of milliseconds",
		"security.protocol=SASL_PLAINTEXT\n":                                                "sasl.mechanism is missing",
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=DIGEST\n":                         "none of PLAIN",
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n":                          "sasl.jaas.config is missing",
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=canary\n": "line 3: sasl.jaas.config cannot be read",
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=" + moduleScram + ` required username="a" password="canary";`: "does not belong to sasl.mechanism=PLAIN",
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=" + modulePlain + ` required username="a" pasword="canary";`:  "user or password is missing",
		"security.protocol=SSL\nssl.endpoint.identification.algorithm=LDAP\n":                                                                   "neither https nor empty",
		"security.protocol=SSL\nssl.enabled.protocols=TLS\n":                                                                                    "TLSv1.2",
		"security.protocol=SSL\nssl.enabled.protocols=SSLv3\n":                                                                                  "leaves no protocol",
		"security.protocol=SSL\nssl.cipher.suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA255\n":                                                      "did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?",
		"security.protocol=SSL\nenable.ssl.certificate.verification=false\n":                                                                    "ssl.truststore.location",
		"sasl.jaas.config=canary\\u12\n":                                                                                                        "line 1",
	} {
		_, err := load(t, text)
		refuses(t, err, want)
	}
	_, err := Load(Source{File: filepath.Join(t.TempDir(), "absent"), Getenv: os.Getenv})
	refuses(t, err, "read properties", "no such file")
}

// What is written and not used is said: who wrote it believes that it protects something.
func TestUnusedProtection(t *testing.T) {
	c := mustLoad(t, strings.ReplaceAll(scramFile, "sasl_plaintext", "PLAINTEXT")+"ssl.truststore.location=/x\n")
	if len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "sasl.jaas.config is not used") || !strings.Contains(c.Warnings[1], "ssl.truststore.location is not used") {
		t.Errorf("%q", c.Warnings)
	}
	c = mustLoad(t, "security.protocol=SSL\nssl.endpoint.identification.algorithm=\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "whatever its name") || !c.tls.anyName {
		t.Errorf("%q", c.Warnings)
	}
	c = mustLoad(t, strings.ReplaceAll(strings.ReplaceAll(scramFile, "SCRAM-SHA-256", "PLAIN"), moduleScram, modulePlain))
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "sends the password") {
		t.Errorf("%q", c.Warnings)
	}
}

func TestOverrides(t *testing.T) {
	t.Setenv("AUTH_TEST_PASSWORD", `can"ary\`)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("canary from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &settings{byName: map[string]setting{}, getenv: os.Getenv, overrideName: "-X"}
	err := s.read(Source{Getenv: os.Getenv, Overrides: []string{
		"bootstrap.servers=three:1", "sasl.mechanisms=PLAIN", "sasl.username=bob", "sasl.password=@" + secret,
		"ssl.key.password=${AUTH_TEST_PASSWORD}",
		`sasl.jaas.config=m.M required username="x=y" password="${AUTH_TEST_PASSWORD}";`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := parseJaas(s.value("sasl.jaas.config"))
	if err != nil || entry.options["password"] != `can"ary\` || entry.options["username"] != "x=y" {
		t.Errorf("%q %v", entry.options, err)
	}
	got := []string{s.value("bootstrap.servers"), s.value("sasl.mechanism"), s.value("sasl.username"), s.value("sasl.password"), s.value("ssl.key.password")}
	if diff := cmp.Diff([]string{"three:1", "PLAIN", "bob", "canary from a file", `can"ary\`}, got); diff != "" {
		t.Error(diff)
	}
	c := mustLoad(t, scramFile, "bootstrap.servers=three:1", "sasl.username=bob", "sasl.password=@"+secret)
	if c.login.user != "bob" || !slices.Equal(c.Bootstrap, []string{"three:1"}) {
		t.Errorf("%v %q", c.login, c.Bootstrap)
	}
}

func TestOverridesRefuseSecrets(t *testing.T) {
	for _, override := range []string{
		"sasl.password=canary", "ssl.key.password=canary", "ssl.keystore.password=canary", "ssl.truststore.password=canary", "ssl.keystore.key=canary",
		"ssl.key.pem=canary", "sasl.oauthbearer.client.credentials.client.secret=canary", "sasl.oauthbearer.client.secret=canary",
		"sasl.jaas.config=canary", `sasl.jaas.config=m.M required username="a" password="canary";`, `sasl.jaas.config=m.M required clientSecret=canary;`,
		`sasl.jaas.config=m.M required password="x${NO}canary";`, "basic.auth.user.info=a:canary", "sasl.oauthbearer.assertion.private.key.passphrase=canary",
	} {
		name, _, _ := strings.Cut(override, "=")
		_, err := load(t, "", override)
		refuses(t, err, "-X "+name, "a secret does not belong on the command line", "@FILE")
	}
	for _, override := range []string{"canary", "=canary"} {
		_, err := load(t, "", override)
		refuses(t, err, "-X", "is not name=value")
	}
	_, err := load(t, "", "sasl.password=${AUTH_TEST_NOT_SET}")
	refuses(t, err, "-X sasl.password", "variable AUTH_TEST_NOT_SET", "no such variable")
	_, err = load(t, "", "sasl.password=@/no/such/file")
	refuses(t, err, "-X sasl.password", "/no/such/file")
	mustLoad(t, "", `sasl.jaas.config=`+moduleIAM+` required awsProfileName="x" awsRoleArn="y";`)
}

// In the file values are literal: neither @FILE nor ${ENV} means anything there.
func TestFileIsLiteral(t *testing.T) {
	t.Setenv("AUTH_TEST_VARIABLE", "no")
	s := &settings{byName: map[string]setting{}, getenv: os.Getenv, overrideName: "-X"}
	err := s.read(Source{File: writeText(t, "client.id=${AUTH_TEST_VARIABLE}\nclient.rack=@/etc/passwd\ngroup.id=${env:AUTH_TEST_VARIABLE}\n"), Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.value("client.id"), s.value("client.rack"), s.value("group.id")}
	if diff := cmp.Diff([]string{"${AUTH_TEST_VARIABLE}", "@/etc/passwd", "${env:AUTH_TEST_VARIABLE}"}, got); diff != "" {
		t.Error(diff)
	}
}

func writeText(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const providers = `config.providers=env,file,dir
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
config.providers.env.param.allowlist.pattern=AUTH_TEST_.*
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
config.providers.dir.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
`

func TestConfigProviders(t *testing.T) {
	t.Setenv("AUTH_TEST_USER", "alice")
	t.Setenv("AUTH_OTHER", "canary")
	file := writeText(t, "password = c\u00e4nary\nother=x\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "id"), []byte("whole\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := providers + "client.id=a ${env:AUTH_TEST_USER} b ${env::AUTH_TEST_USER} ${none:x}\nsasl.password=${file:" + file + ":password}\nclient.rack=${dir:" + filepath.Dir(file) + ":id}\n"
	s := &settings{byName: map[string]setting{}, getenv: os.Getenv, overrideName: "-X"}
	err := s.read(Source{File: writeText(t, text), Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.value("client.id"), s.value("sasl.password"), s.value("client.rack")}
	if diff := cmp.Diff([]string{"a alice b alice ${none:x}", "c\u00e4nary", "whole\n"}, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"client.id=${env:AUTH_OTHER}":                    "allowlist.pattern does not allow it",
		"client.id=${env:AUTH_TEST_NONE}":                "no such variable",
		"client.id=${file:" + file + ":none}":            `no key "none"`,
		"client.id=${file:/no/such:x}":                   "no such file",
		"client.id=${dir:/etc:../x}":                     "names no file in it",
		"config.providers.file.class=x":                  "config.providers.file.class is none of Kafka's providers",
		"config.providers=vault":                         "none of Kafka's providers",
		"config.providers.env.param.allowlist.pattern=(": "not a regular expression",
		"config.providers.file.param.allowed.paths=/etc,/var\nclient.id=${file:" + file + ":password}": "allowed.paths does not allow it",
		"config.providers.dir.param.allowed.paths=/etc\nclient.id=${dir:/etcetera:x}":                  "allowed.paths does not allow it",
	} {
		_, err := load(t, providers+text+"\n")
		refuses(t, err, want)
	}
}
