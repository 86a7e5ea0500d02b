//go:build long

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coldstream/kafka/kafkatest"
)

const realm = "TEST.EXAMPLE"

// kerberos is a key distribution center with a broker's and a person's principal.
type kerberos struct {
	dir string
	env []string
}

// startKerberos starts Debian's krb5-kdc for the test.
func startKerberos(t *testing.T) *kerberos {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	for _, program := range []string{"krb5kdc", "kdb5_util", "kadmin.local", "kinit"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: apt-get install krb5-kdc krb5-admin-server krb5-user", program)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // only its port was wanted
	k := &kerberos{dir: t.TempDir()}
	k.write(t, "krb5.conf", fmt.Sprintf("[libdefaults]\n default_realm = %s\n udp_preference_limit = 1\n dns_lookup_kdc = false\n rdns = false\n dns_canonicalize_hostname = false\n[realms]\n %[1]s = {\n  kdc = %s\n }\n", realm, address))
	k.write(t, "kdc.conf", fmt.Sprintf("[kdcdefaults]\n kdc_listen = %s\n kdc_tcp_listen = %[1]s\n[realms]\n %s = {\n  database_name = %s\n  key_stash_file = %s\n  max_life = 10h\n }\n",
		address, realm, k.path("principal"), k.path("stash")))
	k.env = append(os.Environ(), "KRB5_CONFIG="+k.path("krb5.conf"), "KRB5_KDC_PROFILE="+k.path("kdc.conf"), "KRB5CCNAME="+k.path("tickets"))
	k.run(t, "kdb5_util", "create", "-s", "-r", realm, "-P", "master")
	for principal, file := range map[string]string{"kafka/127.0.0.1": "broker.keytab", "alice": "alice.keytab"} {
		k.run(t, "kadmin.local", "-r", realm, "-q", "addprinc -randkey "+principal)
		k.run(t, "kadmin.local", "-r", realm, "-q", "ktadd -k "+k.path(file)+" "+principal)
	}
	ctx, cancel := context.WithCancel(context.Background())
	kdc := exec.CommandContext(ctx, "krb5kdc", "-n", "-r", realm)
	kdc.Env = k.env
	if err := kdc.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = kdc.Wait() // it was killed
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close() // it answers
			return k
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (k *kerberos) path(name string) string { return filepath.Join(k.dir, name) }

func (k *kerberos) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(k.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (k *kerberos) run(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

// TestGSSAPI backs up and restores with a keytab, and with the tickets of kinit.
func TestGSSAPI(t *testing.T) {
	k := startKerberos(t)
	login := func(options string) string {
		return "com.sun.security.auth.module.Krb5LoginModule required " + options + ";"
	}
	c := kafkatest.Start(t, kafkatest.Config{
		Listeners:   map[string]string{"KRB": "SASL_PLAINTEXT"},
		JavaOptions: []string{"-Djava.security.krb5.conf=" + k.path("krb5.conf")},
		Properties: map[string]string{
			"listener.name.krb.sasl.enabled.mechanisms":    "GSSAPI",
			"listener.name.krb.sasl.kerberos.service.name": "kafka",
			"listener.name.krb.gssapi.sasl.jaas.config":    login(`useKeyTab=true storeKey=true keyTab="` + k.path("broker.keytab") + `" principal="kafka/127.0.0.1@` + realm + `"`),
		},
	})
	fillTopic(t, c, "ticketed", 100)
	t.Setenv("KRB5_CONFIG", k.path("krb5.conf"))
	common := "bootstrap.servers=" + strings.Join(c.ListenerAddrs("KRB"), ",") + "\nsecurity.protocol=SASL_PLAINTEXT\nsasl.kerberos.service.name=kafka\n"
	env := []string{"KRB5_CONFIG=" + k.path("krb5.conf"), "KRB5CCNAME=FILE:" + k.path("tickets")}
	try := func(properties string) outcome {
		k.write(t, "client.properties", common+properties)
		vault := newVault(t)
		got := command(t, env, "backup", "-o", "json", "--command-config", k.path("client.properties"), "--connect-timeout", "8s", "--vault", vault, "-t", "ticketed")
		if got.code == exitDone {
			command(t, env, "restore", "--command-config", k.path("client.properties"), "--vault", vault, "-t", "ticketed", "--dry-run", "--map", "ticketed=again").must(t, exitDone)
		}
		return got
	}
	keytab := "sasl.jaas.config=" + login(`useKeyTab=true keyTab="`+k.path("alice.keytab")+`" principal="alice@`+realm+`"`) + "\n"
	tickets := "sasl.mechanism=GSSAPI\nsasl.jaas.config=" + login("useTicketCache=true") + "\n"
	try(keytab).must(t, exitDone)
	try("sasl.mechanism=GSSAPI\nsasl.kerberos.principal=alice\nsasl.kerberos.keytab="+k.path("alice.keytab")+"\n").must(t, exitDone)
	try(tickets).must(t, exitUnreachable).says(t, "read the ticket cache", "kinit")
	k.run(t, "kinit", "-kt", k.path("alice.keytab"), "alice")
	try(tickets).must(t, exitDone)
	try(strings.Replace(keytab, "alice@", "bob@", 1)).must(t, exitUnreachable).says(t, "log in at the key distribution center of "+realm, "klist -kt")
	try(strings.Replace(keytab, k.path("alice.keytab"), k.path("none"), 1)).must(t, exitUnreachable).says(t, "read the keytab", "no such file")
	common = strings.Replace(common, "service.name=kafka", "service.name=other", 1)
	t.Log(try(keytab).must(t, exitUnreachable).says(t, "GSSAPI").stderr)
}
