package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

const testVault = "00112233445566778899aabbccddeeff"

// objects are those under keys/.
type objects map[ID][]byte

func (o objects) Get(_ context.Context, id ID) ([]byte, error) {
	b, ok := o[id]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (o objects) IDs(context.Context) ([]ID, error) {
	var out []ID
	for id := range o {
		out = append(out, id)
	}
	return out, nil
}

func newHeld(t testing.TB, kind Kind) *Held {
	t.Helper()
	h, err := New(testVault, kind)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// addTo gives a key to a new person, and returns the person's file.
func (o objects) addTo(t testing.TB, h *Held, name string) (ID, []byte) {
	t.Helper()
	id, errID := NewID()
	p, identity, errPerson := NewPerson(&h.Public)
	if err := errors.Join(errID, errPerson); err != nil {
		t.Fatal(err)
	}
	label := Label{id, name}
	object, err := h.SealTo(p, label)
	if err != nil {
		t.Fatal(err)
	}
	o[id] = object
	return id, h.FileFor(label, identity)
}

func open(t testing.TB, file []byte, of Public, o objects) (*Held, error) {
	t.Helper()
	f, err := ParseFile(file, Asker{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Open(t.Context(), of, o)
}

func mustBeWrong(t testing.TB, err error, says string) {
	t.Helper()
	var wrong *WrongKeyError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want a wrong key and %q", err, says)
	}
}

// TestKeyFile: a key file opens its vault with all that it may have, is refused by another
// one, and once it was removed; and age takes it as a file of identities.
func TestKeyFile(t *testing.T) {
	for _, kind := range []Kind{X25519, Hybrid} {
		h, o := newHeld(t, kind), objects{}
		id, file := o.addTo(t, h, "operator")
		host, hostFile := o.addTo(t, h.CatalogOnly(), "backup host")
		for _, c := range []struct {
			file []byte
			want *Held
		}{{file, h}, {hostFile, h.CatalogOnly()}, {h.Sheet(), h}, {h.CatalogOnly().Sheet(), h.CatalogOnly()}} {
			got, err := open(t, c.file, h.Public, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Held{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			identities, err := age.ParseIdentities(bytes.NewReader(c.file))
			if err != nil || len(identities) == 0 {
				t.Errorf("age reads %d identities: %v", len(identities), err)
			}
		}
		if bytes.Contains(hostFile, []byte(h.data)) || bytes.Contains(hostFile, []byte(keeperSecret)) {
			t.Error("the file of a backup host opens packs, or takes away")
		}
		other := h.Public
		other.VaultID = strings.Repeat("0", 32)
		_, err := open(t, file, other, o)
		mustBeWrong(t, err, "is of vault "+testVault)
		swapped := h.Public
		swapped.Data = newHeld(t, kind).Data
		_, err = open(t, file, swapped, o)
		mustBeWrong(t, err, "has pinned")
		o[id] = o[host]
		_, err = open(t, file, h.Public, o)
		mustBeWrong(t, err, "does not open with the key file")
		delete(o, id)
		_, err = open(t, file, h.Public, o)
		mustBeWrong(t, err, "was removed")
		if _, err := open(t, h.Sheet(), h.Public, nil); err != nil {
			t.Errorf("the sheet needs objects: %v", err)
		}
	}
}

// TestForgedKeys: what somebody has put under keys/ is not believed, although it is sealed to
// the right person.
func TestForgedKeys(t *testing.T) {
	h, o := newHeld(t, X25519), objects{}
	forger := newHeld(t, X25519)
	id, file := o.addTo(t, h, "operator")
	f, err := ParseFile(file, Asker{})
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := recipientOf(f.own)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePerson(recipient, &h.Public, Asker{})
	if err != nil {
		t.Fatal(err)
	}
	if o[id], err = forger.SealTo(p, Label{id, "operator"}); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, file, h.Public, o)
	mustBeWrong(t, err, "other public keys")
	_, err = open(t, []byte(f.own+"\n"), h.Public, o)
	mustBeWrong(t, err, "none of the vault's 1 keys")
}

// TestForeignIdentities: a file of age, the vault's own identities in one, and keys of SSH.
func TestForeignIdentities(t *testing.T) {
	h, o := newHeld(t, X25519), objects{}
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, errKey := ssh.NewPublicKey(public)
	plain, errPlain := ssh.MarshalPrivateKey(private, "")
	locked, errLocked := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open, please"))
	if err := errors.Join(errKey, errPlain, errLocked); err != nil {
		t.Fatal(err)
	}
	for i, recipient := range []string{own.Recipient().String(), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))} {
		p, err := ParsePerson(recipient, &h.Public, Asker{})
		if err != nil {
			t.Fatal(err)
		}
		id := ID(fmt.Sprintf("%016x", i))
		if o[id], err = h.SealTo(p, Label{id, "somebody"}); err != nil {
			t.Fatal(err)
		}
	}
	o["ffffffffffffffff"] = []byte("what somebody has put there")
	ask := Asker{Secret: func(string) (string, error) { return "open, please", nil }}
	for name, text := range map[string][]byte{
		"age": []byte("# created by age-keygen\n" + own.String() + "\n"), "SSH": pem.EncodeToMemory(plain), "SSH, locked": pem.EncodeToMemory(locked),
		"the vault's own": []byte(h.data + "\n" + h.catalog + "\n"),
	} {
		f, err := ParseFile(text, ask)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := f.Open(t.Context(), h.Public, o)
		if err != nil || !got.MayReadRecords() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t, []byte(stranger.String()), h.Public, o)
	mustBeWrong(t, err, "none of the vault's 3 keys")
	if got, err := open(t, []byte(h.catalog), h.Public, nil); err != nil || got.MayReadRecords() {
		t.Errorf("with the catalog's identity alone: %+v, %v", got, err)
	}
}

// TestPassphrase: the right one opens, a wrong one does not, and nobody is asked for nothing.
func TestPassphrase(t *testing.T) {
	h, o := newHeld(t, X25519), objects{}
	asked := 0
	key := func(answer string) *Passphrase {
		return &Passphrase{Asker{Secret: func(string) (string, error) { asked++; return answer, nil }}}
	}
	_, file := o.addTo(t, h, "somebody with a file")
	_, err := key("x").Open(t.Context(), h.Public, o)
	mustBeWrong(t, err, "no key was given")
	if asked > 0 {
		t.Error("asked for a passphrase that the vault does not have")
	}
	if _, err := WithPassphrase("too short"); err == nil {
		t.Error("a short passphrase was taken")
	}
	r, err := age.NewScryptRecipient("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10) // so that the test is quick
	if o["0000000000000000"], err = h.SealTo(&Person{r, PassphraseShown}, Label{"0000000000000000", "somebody"}); err != nil {
		t.Fatal(err)
	}
	if got, err := key("correct horse battery").Open(t.Context(), h.Public, o); err != nil || !got.MayReadRecords() {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = key("incorrect horse battery").Open(t.Context(), h.Public, o)
	mustBeWrong(t, err, "the passphrase is wrong")
	_, err = (&Passphrase{}).Open(t.Context(), h.Public, o)
	mustBeWrong(t, err, "nobody can be asked")
	if _, err := open(t, file, h.Public, o); err != nil {
		t.Error(err)
	}
}

// TestPeople: what is no public key is refused, and says so without repeating a secret.
func TestPeople(t *testing.T) {
	h, pq := newHeld(t, X25519), newHeld(t, Hybrid)
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for recipient, says := range map[string]string{
		"": "no recipient of age", "age1abc": "no recipient of age", "ssh-dss AAAA": "ssh", "alice": "no recipient of age",
	} {
		if _, err := ParsePerson(recipient, &h.Public, Asker{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", recipient, err)
		}
	}
	if _, err := ParsePerson(own.String(), &h.Public, Asker{}); err == nil || strings.Contains(err.Error(), own.String()) {
		t.Errorf("a secret key: %v", err)
	}
	if _, err := ParsePerson(own.Recipient().String(), &pq.Public, Asker{}); err == nil || !strings.Contains(err.Error(), "post-quantum") {
		t.Errorf("a key that is not post-quantum, in a vault that is: %v", err)
	}
	if _, err := ParsePerson(pq.Data, &pq.Public, Asker{}); err != nil {
		t.Error(err)
	}
}

// TestKeyFileRejections: a file that somebody has damaged is refused, and no secret is in the
// message.
func TestKeyFileRejections(t *testing.T) {
	h, o := newHeld(t, X25519), objects{}
	_, file := o.addTo(t, h, "operator")
	text := string(file)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	own := lines[len(lines)-5]
	for name, c := range map[string]struct{ text, says string }{
		"empty":              {"", "holds no identity"},
		"no identity":        {"# nothing\n", "holds no identity"},
		"a word":             {"secret-word\n", "no identity of age"},
		"a newer version":    {strings.Replace(text, "version 1", "version 2", 1), "version that this program does not know"},
		"no vault":           {strings.Replace(text, "# vault: "+testVault+"\n", "", 1), "of which vault"},
		"another vault ID":   {strings.Replace(text, testVault, "xyz", 1), "line of the vault"},
		"two vaults":         {strings.Replace(text, "# vault", "# vault: a\n# vault", 1), "two lines"},
		"a key ID":           {strings.Replace(text, "# key: ", "# key: 0", 1), "no ID of a key"},
		"an identity more":   {text + own + "\n", "an identity too many"},
		"a typing error":     {strings.Replace(text, own, own[:20]+flip(own[20:21])+own[21:], 1), "no identity of age"},
		"lower case":         {strings.Replace(text, own, strings.ToLower(own), 1), "no identity of age"},
		"another keeper":     {strings.Replace(text, "# keeper: ed25519:", "# keeper: ed25519:A", 1), "keeper's key"},
		"a keeper cut short": {strings.Replace(text, keeperSecret, keeperSecret+"A", 1), "keeper's key"},
		"too long":           {text + strings.Repeat("# x\n", maxFile/4), "too many"},
		"half a key of SSH":  {"-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-word\n", "SSH"},
	} {
		_, err := ParseFile([]byte(c.text), Asker{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret-word") || strings.Contains(err.Error(), own[20:])) {
			t.Errorf("%s: the message has a secret: %v", name, err)
		}
	}
	spaced := "\n  " + strings.ReplaceAll(text, "\n", "\r\n\r\n  ") + "# a remark\n"
	if _, err := open(t, []byte(spaced), h.Public, o); err != nil {
		t.Errorf("with other white space: %v", err)
	}
}

func flip(s string) string {
	if s == "Q" {
		return "P"
	}
	return "Q"
}

// TestVectorsStayAsTheyAre: files that were written once are read for ever, and the key of names
// that belongs to an identity stays the same.
func TestVectorsStayAsTheyAre(t *testing.T) {
	for _, name := range []string{"operator.key", "host.key", "post-quantum.key"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFile(text, Asker{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(string(text), string(f.Append(nil))); diff != "" {
			t.Errorf("%s (-vector +now)\n%s", name, diff)
		}
		held, err := f.held()
		if err != nil {
			t.Fatal(err)
		}
		key, err := held.NameKey()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"operator.key": "112ca710b58cddd27b08a6b6f5aa2a5ad08a296fb4d342770d142ef5dbb655fd", "host.key": "112ca710b58cddd27b08a6b6f5aa2a5ad08a296fb4d342770d142ef5dbb655fd", "post-quantum.key": "75635ec4ad184e902cca09ebb0f6c364de90ed1733deeca7393733cb5cfb3c12",
		}[name]
		if got := fmt.Sprintf("%x", key); got != want {
			t.Errorf("%s: the key of names is %s", name, got)
		}
	}
}

// FuzzParseFile: what is read as a key file is written and read again as the same.
func FuzzParseFile(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.key"))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := ParseFile(text, Asker{})
		if err != nil || file.VaultID == "" {
			return
		}
		again, err := ParseFile(file.Append(nil), Asker{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(file, again, cmp.AllowUnexported(File{})); diff != "" {
			t.Errorf("(-read +again)\n%s", diff)
		}
	})
}
