package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/internal/protection"
)

// secretive is an encrypted vault, and people with keys to it.
type secretive struct {
	*testing.T
	vault, home string
	said        strings.Builder // by all commands
}

func newSecretive(t *testing.T) *secretive {
	t.Helper()
	return &secretive{T: t, vault: filepath.Join(t.TempDir(), "vault"), home: t.TempDir()}
}

// run runs a command of somebody whose environment holds more.
func (s *secretive) run(vars []string, args ...string) outcome {
	s.Helper()
	out := command(s.T, append(slices.Clone(vars), "COLDSTREAM_VAULT="+s.vault, "XDG_CONFIG_HOME="+s.home), args...) // the first of a name counts
	s.said.WriteString(out.stdout + out.stderr)
	return out
}

func (s *secretive) key(name string) string { return filepath.Join(s.home, name) }

// operatorKey is the file that init has written.
func (s *secretive) operatorKey() string {
	s.Helper()
	found, err := filepath.Glob(filepath.Join(s.home, "coldstream", "*.key"))
	if err != nil || len(found) != 1 {
		s.Fatalf("key files: %v, %v", found, err)
	}
	return found[0]
}

// allSecrets are what no output may have.
var allSecrets = regexp.MustCompile(`AGE-SECRET-KEY-\S+|ed25519-secret:\S+`)

func (s *secretive) mustHaveSaidNoSecret() {
	s.Helper()
	if found := allSecrets.FindString(s.said.String()); found != "" {
		s.Errorf("a command has said %s", found)
	}
}

// mustNotShow looks for text in all objects and their names, as it is and as hexadecimal digits.
func (s *secretive) mustNotShow(texts ...string) {
	s.Helper()
	objects := 0
	err := filepath.WalkDir(s.vault, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		object, err := os.ReadFile(path)
		objects++
		for _, text := range texts {
			for _, form := range []string{text, hex.EncodeToString([]byte(text))} {
				if bytes.Contains(object, []byte(form)) || strings.Contains(strings.TrimPrefix(path, s.vault), form) {
					s.Errorf("%s shows %q", path, form)
				}
			}
		}
		return err
	})
	if err != nil || objects < 10 {
		s.Errorf("looked at %d objects: %v", objects, err)
	}
}

// byHand opens a pack as somebody without Coldstream does: with age, then zstd.
func (s *secretive) byHand(keyFile, pack string) []byte {
	s.Helper()
	key, errKey := os.Open(keyFile)
	object, errObject := os.Open(pack)
	if errKey != nil || errObject != nil {
		s.Fatal(errKey, errObject)
	}
	defer key.Close()
	defer object.Close()
	identities, err := age.ParseIdentities(key)
	if err != nil {
		s.Fatal(err)
	}
	opened, err := age.Decrypt(object, identities...)
	if err != nil {
		s.Fatal(err)
	}
	var log []byte
	if tool, missing := exec.LookPath("zstd"); missing == nil {
		cmd := exec.CommandContext(s.Context(), tool, "-d", "-c")
		cmd.Stdin = opened
		log, err = cmd.Output()
	} else {
		r, errReader := zstd.NewReader(opened)
		if errReader != nil {
			s.Fatal(errReader)
		}
		defer r.Close()
		log, err = io.ReadAll(r)
	}
	if err != nil {
		s.Fatal(err)
	}
	return log
}

// runsAs backs up continuously with some key until all is saved.
func (s *secretive) runsAs(host []string, w *world, topic string) {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	ended := make(chan outcome, 1)
	vars := append([]string{"COLDSTREAM_VAULT=" + s.vault}, host...)
	go func() {
		ended <- commandContext(ctx, vars, "run", "-b", w.bootstrap, "-t", topic, "--interval", "1s", "--snapshot-every", "2s", "--listen", "none")
	}()
	w.await("the run has saved all", func() bool {
		var d protection.Document
		command(s.T, vars, "status", "-b", w.bootstrap, "-t", topic, "-o", "json").must(s.T, exitDone).into(s.T, &d)
		return d.Topics[0].LagRecords == 0
	})
	stop()
	(<-ended).must(s.T, exitDone).says(s.T, "continuous backup stopped")
}

// TestEncryptedVault is the whole way with a real broker: a host with a key for the catalog only
// makes backups, nothing in the storage can be read, the operator restores all of it, and Kafka's
// own tool reads a pack that age and zstd have opened.
func TestEncryptedVault(t *testing.T) {
	w := newWorld(t)
	s := newSecretive(t)
	const topic, group = "patients-of-ward-seven", "billing-of-ward-seven"
	w.create(topic, 2, "retention.ms=98765432123")
	for i := range 40 {
		w.produce(&kgo.Record{Topic: topic, Partition: int32(i % 2), Key: []byte("key-of-a-patient"), Value: []byte("diagnosis-of-a-patient"),
			Headers: []kgo.RecordHeader{{Key: "header-of-a-patient", Value: []byte("header-value-of-a-patient")}}})
	}
	w.commit(group, kadm.Offset{Topic: topic, Partition: 1, At: 7, LeaderEpoch: -1, Metadata: "metadata-of-a-group"})

	s.run(nil, "init", "--encrypt").must(t, exitDone)
	host := []string{"COLDSTREAM_KEY_FILE=" + s.key("host.key"), "XDG_CONFIG_HOME="}
	s.run(nil, "key", "add", "--catalog-only", "--out", s.key("host.key")).must(t, exitDone)
	asHost := func(args ...string) outcome {
		return command(t, append([]string{"COLDSTREAM_VAULT=" + s.vault}, host...), args...)
	}

	asHost("backup", "-b", w.bootstrap, "-t", topic).must(t, exitDone)
	w.produce(&kgo.Record{Topic: topic, Key: []byte("key-of-a-patient"), Value: []byte("diagnosis-of-a-patient")})
	var report backupReport
	asHost("backup", "-b", w.bootstrap, "-t", topic, "-o", "json").must(t, exitDone).into(t, &report)
	same(t, "records of the second backup", report.Records, int64(1))
	w.produce(&kgo.Record{Topic: topic, Partition: 1, Key: []byte("key-of-a-patient"), Value: []byte("diagnosis-of-a-patient")})
	s.runsAs(host, w, topic)
	for _, args := range [][]string{
		{"snapshots"}, {"stats"}, {"ls"}, {"groups"}, {"status", "-b", w.bootstrap, "-t", topic}, {"verify"}, {"key", "list"}, {"key", "test"},
		{"backup", "-b", w.bootstrap, "-t", topic, "--dry-run"}, {"doctor", "--for", "backup", "-b", w.bootstrap, "-t", topic},
		{"run", "-b", w.bootstrap, "-t", topic, "--dry-run"},
	} {
		asHost(args...).must(t, exitDone)
	}
	for _, args := range [][]string{
		{"cat", topic}, {"verify", "--deep"}, {"forget", "--keep-last", "1"}, {"prune"}, {"compact"}, {"repair", "--accept-loss"}, {"diff", "-b", w.bootstrap},
		{"restore", "-b", w.bootstrap, "-t", topic, "--map", topic + "=stolen", "--yes"}, {"copy", "--from", s.vault, "--to", newVault(t)},
		{"key", "add", "--out", s.key("stolen.key")}, {"key", "sheet"}, {"key", "remove", "operator"},
	} {
		asHost(args...).must(t, exitKey).says(t, "this key is for the catalog only")
	}
	asHost("doctor", "--for", "restore", "-b", w.bootstrap).must(t, exitKey)
	command(t, []string{"COLDSTREAM_VAULT=" + s.vault}, "doctor", "-b", w.bootstrap).must(t, exitKey)
	same(t, "a stolen restore", w.exists("stolen"), false)

	var restored restoreReport
	s.run(nil, "restore", "-b", w.bootstrap, "-t", topic, "--map", topic+"=again", "--groups", "--yes", "-o", "json").must(t, exitDone).into(t, &restored)
	sameContent(t, w.read("again"), w.read(topic))
	same(t, "the group", w.committed(group)["again-1"], "7 metadata-of-a-group")
	s.run(nil, "verify", "--deep").must(t, exitDone)
	s.run(nil, "forget", "--keep-last", "1").must(t, exitDone)
	s.run(nil, "diff", "-b", w.bootstrap, "-t", topic).must(t, exitDone)

	s.mustNotShow(topic, group, "ward-seven", "98765432123", "of-a-patient", "of-a-group", "retention.ms", "operator")
	s.mustHaveSaidNoSecret()
	packs, err := filepath.Glob(filepath.Join(s.vault, "packs", "*", "*", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatal("no packs", err)
	}
	log := filepath.Join(t.TempDir(), "00000000000000000000.log")
	if err := os.WriteFile(log, s.byHand(s.operatorKey(), packs[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	dump, err := shared.Cluster(t).DumpLog(t.Context(), log)
	if err != nil || bytes.Count(dump, []byte("payload: diagnosis-of-a-patient")) != 40 {
		t.Errorf("%v\n%s", err, dump)
	}
}

// TestWhereKeysAreFound: the command line before the environment, that before what init wrote; a
// wrong key is not passed over for another.
func TestWhereKeysAreFound(t *testing.T) {
	s := newSecretive(t)
	s.run(nil, "init", "--encrypt").must(t, exitDone)
	other := newSecretive(t)
	other.run(nil, "init", "--encrypt", "--key-file", other.key("other.key")).must(t, exitDone)
	key, wrong := s.operatorKey(), other.key("other.key")
	const nowhere = "XDG_CONFIG_HOME=/nonexistent"
	for name, c := range map[string]struct {
		vars []string
		args []string
		code int
		says string
	}{
		"what init wrote":            {nil, nil, exitDone, ""},
		"no key":                     {[]string{nowhere}, nil, exitKey, "no key was given"},
		"the command line":           {[]string{nowhere}, []string{"--key-file", key}, exitDone, ""},
		"a wrong one there":          {nil, []string{"--key-file", wrong}, exitKey, "is of vault"},
		"two there":                  {nil, []string{"--key-file", wrong, "--key-file", key}, exitDone, ""},
		"before the environment":     {[]string{"COLDSTREAM_KEY_FILE=" + wrong}, []string{"--key-file", key}, exitDone, ""},
		"the environment":            {[]string{nowhere, "COLDSTREAM_KEY_FILE=" + key}, nil, exitDone, ""},
		"a wrong one there, too":     {[]string{"COLDSTREAM_KEY_FILE=" + wrong}, nil, exitKey, "is of vault"},
		"a command":                  {[]string{nowhere, "COLDSTREAM_KEY_COMMAND=cat '" + key + "'"}, nil, exitDone, ""},
		"after the file":             {[]string{"COLDSTREAM_KEY_FILE=" + key, "COLDSTREAM_KEY_COMMAND=false"}, nil, exitDone, ""},
		"a command that fails":       {[]string{"COLDSTREAM_KEY_COMMAND=false"}, nil, exitKey, "COLDSTREAM_KEY_COMMAND"},
		"a command that prints junk": {[]string{"COLDSTREAM_KEY_COMMAND=echo hunter2"}, nil, exitKey, "no identity of age"},
		"a file that is not there":   {nil, []string{"--key-file", key + "x"}, exitKey, "no such file"},
		"an empty name":              {nil, []string{"--key-file", ""}, exitKey, "no such file"},
	} {
		out := s.run(c.vars, append([]string{"snapshots"}, c.args...)...)
		if out.code != c.code || !strings.Contains(out.stderr, c.says) || strings.Contains(out.stderr, "hunter2") {
			t.Errorf("%s: exit code %d, %s", name, out.code, out.stderr)
		}
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	s.run(nil, "snapshots").must(t, exitKey).says(t, "can be read by other users", "chmod 600")
	s.run(nil, "snapshots", "-o", "json", "--key-file", wrong).must(t, exitKey).into(t, &struct{}{})
	s.mustHaveSaidNoSecret()
}

// TestKeysAreAddedAndRemoved: people with keys of their own, a passphrase, a sheet of paper; and
// what is taken away opens nothing any more.
func TestKeysAreAddedAndRemoved(t *testing.T) {
	s := newSecretive(t)
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.key("own.txt"), []byte(own.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(nil, "init", "--encrypt", "--recipient", own.Recipient().String()).must(t, exitDone)
	s.run(nil, "key", "test", "--key-file", s.key("own.txt")).must(t, exitDone)

	s.run(nil, "key", "add", "--out", s.key("alice.key")).must(t, exitDone)
	s.run(nil, "key", "add", "--out", s.key("alice.key")).must(t, exitFailed).says(t, "file exists")
	s.run(nil, "key", "add", "--catalog-only", "--out", s.key("host.key"), "--name", "backup host 2").must(t, exitDone)
	s.run([]string{"COLDSTREAM_PASSPHRASE=five words that rhyme not"}, "key", "add", "--passphrase").must(t, exitDone)
	s.run(nil, "key", "add", "--passphrase").must(t, exitUsage).says(t, "no terminal")
	s.run(nil, "key", "add").must(t, exitUsage)
	s.run(nil, "key", "add", "--recipient", own.String()).must(t, exitUsage)
	var list struct {
		Keys []struct {
			ID, Name, Recipient string
			CatalogOnly         bool `json:"catalog_only"`
		} `json:"keys"`
	}
	s.run(nil, "key", "list", "-o", "json").must(t, exitDone).into(t, &list)
	names := map[string]bool{}
	for _, k := range list.Keys {
		names[k.Name] = k.CatalogOnly
	}
	same(t, "keys", names, map[string]bool{"operator": false, own.Recipient().String()[:20]: false, "alice": false, "backup host 2": true, "passphrase": false})

	passphrase := []string{"XDG_CONFIG_HOME=/nonexistent", "COLDSTREAM_PASSPHRASE=five words that rhyme not"}
	s.run(passphrase, "key", "test").must(t, exitDone)
	s.run([]string{passphrase[0], "COLDSTREAM_PASSPHRASE=five words that rhyme a lot"}, "key", "test").must(t, exitKey).says(t, "the passphrase is wrong")
	sheet := command(t, []string{"COLDSTREAM_VAULT=" + s.vault, "XDG_CONFIG_HOME=" + s.home}, "key", "sheet").must(t, exitDone).stdout
	if err := os.WriteFile(s.key("sheet.key"), []byte(sheet), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "operator", "passphrase", own.Recipient().String()[:20]} {
		s.run(nil, "key", "remove", name, "--key-file", s.key("sheet.key")).must(t, map[bool]int{true: exitFailed, false: exitDone}[strings.HasPrefix(name, "age1")])
	}
	s.run(nil, "key", "remove", "nobody", "--key-file", s.key("own.txt")).must(t, exitUsage)
	s.run(nil, "key", "test", "--key-file", s.key("alice.key")).must(t, exitKey).says(t, "was removed from the vault")
	s.run(nil, "key", "test").must(t, exitKey).says(t, "was removed from the vault")
	s.run(passphrase, "key", "test").must(t, exitKey)
	s.run(nil, "key", "test", "--key-file", s.key("host.key")).must(t, exitDone)
	s.run(nil, "key", "test", "--key-file", s.key("sheet.key")).must(t, exitDone)
	s.mustHaveSaidNoSecret()
}

// TestAttacksOnKeys: who can write to the storage cannot make a backup go to keys of theirs, and
// takes nothing away for good by deleting the keys.
func TestAttacksOnKeys(t *testing.T) {
	w := newFakeWorld(t)
	w.fill("orders", 1, 20)
	s, theirs := newSecretive(t), newSecretive(t)
	s.run(nil, "init", "--encrypt").must(t, exitDone)
	s.run(nil, "backup", "-b", w.bootstrap, "-t", "orders").must(t, exitDone)
	theirs.run(nil, "init", "--encrypt").must(t, exitDone)
	info := filepath.Join(s.vault, "vault.json")
	own, err := os.ReadFile(info)
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := os.ReadFile(filepath.Join(theirs.vault, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"vault_id": "[0-9a-f]+"`)
	for name, forged := range map[string][]byte{
		"their vault.json":        swapped,
		"their keys under our ID": id.ReplaceAll(swapped, id.Find(own)),
		"their keeper":            regexp.MustCompile(`ed25519:[^"]+`).ReplaceAll(own, regexp.MustCompile(`ed25519:[^"]+`).Find(swapped)),
		"no encryption":           regexp.MustCompile(`(?m)^  "(data|catalog|keeper)_[^\n]+\n`).ReplaceAll(bytes.Replace(own, []byte("Z\",\n"), []byte("Z\"\n"), 1), nil),
	} {
		if err := os.WriteFile(info, forged, 0o600); err != nil {
			t.Fatal(err)
		}
		out := s.run([]string{"COLDSTREAM_KEY_FILE=" + s.operatorKey()}, "backup", "-b", w.bootstrap, "-t", "orders")
		if out.code != exitKey {
			t.Errorf("%s: exit code %d\n%s%s", name, out.code, out.stdout, out.stderr)
		}
	}
	plain := newVault(t)
	planted, err := os.ReadFile(filepath.Join(plain, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range [][]byte{planted, id.ReplaceAll(planted, id.Find(own))} {
		if err := os.WriteFile(filepath.Join(plain, "vault.json"), planted, 0o600); err != nil {
			t.Fatal(err)
		}
		s.run([]string{"COLDSTREAM_KEY_FILE=" + s.operatorKey()}, "backup", "-b", w.bootstrap, "-t", "orders", "--vault", plain).must(t, exitKey)
	}
	s.run(nil, "backup", "-b", w.bootstrap, "-t", "orders", "--vault", plain).must(t, exitKey) // it has the ID of what the default key is for
	if packs, err := filepath.Glob(filepath.Join(plain, "packs", "*")); err != nil || len(packs) > 0 {
		t.Errorf("stored in the clear: %v, %v", packs, err)
	}
	if err := os.WriteFile(info, own, 0o600); err != nil {
		t.Fatal(err)
	}
	sheet := command(t, []string{"COLDSTREAM_VAULT=" + s.vault, "XDG_CONFIG_HOME=" + s.home}, "key", "sheet").must(t, exitDone).stdout
	if err := os.WriteFile(s.key("sheet.key"), []byte(sheet), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"keys", "labels"} {
		if err := os.RemoveAll(filepath.Join(s.vault, gone)); err != nil {
			t.Fatal(err)
		}
	}
	s.run(nil, "snapshots").must(t, exitKey).says(t, "was removed from the vault")
	s.run(nil, "key", "add", "--out", s.key("new.key"), "--key-file", s.key("sheet.key")).must(t, exitDone)
	s.run(nil, "verify", "--deep", "--key-file", s.key("new.key")).must(t, exitDone)
	s.mustHaveSaidNoSecret()
}

// TestInitEncrypted: what is refused leaves nothing behind, and no key is ever replaced.
func TestInitEncrypted(t *testing.T) {
	s := newSecretive(t)
	for _, args := range [][]string{{"--recipient", "age1abc"}, {"--post-quantum"}, {"--passphrase"}, {"--key-file", s.key("x")}} {
		s.run(nil, append([]string{"init"}, args...)...).must(t, exitUsage).says(t, "add --encrypt")
	}
	s.run(nil, "init", "--encrypt", "--recipient", "age1abc").must(t, exitUsage)
	s.run([]string{"COLDSTREAM_PASSPHRASE=short"}, "init", "--encrypt", "--passphrase").must(t, exitUsage)
	if err := os.WriteFile(s.key("there"), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(nil, "init", "--encrypt", "--key-file", s.key("there")).must(t, exitFailed).says(t, "file exists")
	entries, err := os.ReadDir(s.vault)
	if err == nil && len(entries) > 0 {
		t.Errorf("a vault that was refused left %v", entries)
	}
	s.run(nil, "init", "--encrypt", "--post-quantum", "--key-file", s.key("pq.key")).must(t, exitDone)
	info, err := os.Stat(s.key("pq.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	s.run(nil, "init", "--encrypt", "--key-file", s.key("second.key")).must(t, exitFailed).says(t, "there is a vault already")
	if _, err := os.Stat(s.key("second.key")); err == nil {
		t.Error("there is a key of a vault that was not made")
	}
	s.run(nil, "init").must(t, exitFailed).says(t, "there is a vault already")
	s.run(nil, "key", "test", "--key-file", s.key("pq.key")).must(t, exitDone)
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.run(nil, "key", "add", "--key-file", s.key("pq.key"), "--recipient", own.Recipient().String()).must(t, exitUsage).says(t, "post-quantum")
	s.run(nil, "key", "add", "--key-file", s.key("pq.key"), "--out", s.key("pq2.key")).must(t, exitDone)
	s.run(nil, "key", "test", "--key-file", s.key("pq2.key")).must(t, exitDone)
	plain := newVault(t)
	command(t, nil, "key", "list", "--vault", plain).must(t, exitFailed).says(t, "not encrypted")
	for _, vars := range [][]string{{"COLDSTREAM_KEY_FILE=" + s.key("pq.key")}, {"COLDSTREAM_KEY_COMMAND=true"}} {
		command(t, vars, "snapshots", "--vault", plain).must(t, exitKey).says(t, "the vault is not encrypted, and a key was given")
	}
	command(t, nil, "snapshots", "--vault", plain, "--key-file", s.key("pq.key")).must(t, exitKey)
	s.mustHaveSaidNoSecret()
}

// TestCopyOfEncryptedVaults: from a plain vault into an encrypted one, from that into another, and
// back into a plain one; each with its own key.
func TestCopyOfEncryptedVaults(t *testing.T) {
	w := newFakeWorld(t)
	w.fill("orders", 2, 20)
	w.backup("orders")
	first, second := newSecretive(t), newSecretive(t)
	second.home = first.home
	first.run(nil, "init", "--encrypt").must(t, exitDone)
	second.run(nil, "init", "--encrypt", "--key-file", second.key("second.key")).must(t, exitDone)
	first.run(nil, "copy", "--from", w.vault, "--to", first.vault).must(t, exitDone)
	first.run(nil, "copy", "--from", first.vault, "--to", second.vault, "--key-file", second.key("second.key")).must(t, exitDone)
	plain := newVault(t)
	first.run(nil, "copy", "--from", second.vault, "--to", plain).must(t, exitKey)
	first.run(nil, "copy", "--from", second.vault, "--to", plain, "--key-file", second.key("second.key")).must(t, exitDone)
	for _, v := range []string{first.vault, plain} {
		first.run(nil, "verify", "--deep", "--vault", v).must(t, exitDone)
	}
	want := command(t, nil, "cat", "orders", "--vault", w.vault).must(t, exitDone).stdout
	got := first.run(nil, "cat", "orders", "--vault", plain).must(t, exitDone).stdout
	same(t, "records of the copy of the copy of the copy", got == want, true)
}
