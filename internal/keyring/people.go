package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// Asker asks people for secrets. Where nobody can be asked it is an error.
type Asker struct {
	// Secret asks for a secret, which is not shown.
	Secret func(prompt string) (string, error)
	// Show tells people something.
	Show func(text string)
}

func (a Asker) secret(prompt string) (string, error) {
	if a.Secret == nil {
		return "", errors.New("nobody can be asked for the passphrase here")
	}
	return a.Secret(prompt)
}

func (a Asker) pluginUI() *plugin.ClientUI {
	return &plugin.ClientUI{
		DisplayMessage: func(name, message string) error {
			a.show("age-plugin-" + name + ": " + message)
			return nil
		},
		RequestValue: func(name, prompt string, _ bool) (string, error) {
			return a.secret("age-plugin-" + name + ": " + prompt)
		},
		Confirm: func(name, prompt, _, _ string) (bool, error) {
			answer, err := a.secret("age-plugin-" + name + ": " + prompt + " (y or n)")
			return strings.HasPrefix(strings.ToLower(answer), "y"), err
		},
		WaitTimer: func(name string) { a.show("waiting for age-plugin-" + name) },
	}
}

func (a Asker) show(text string) {
	if a.Show != nil {
		a.Show(text)
	}
}

// parseSSH reads a private key of SSH. One with a passphrase is asked for it when it is used.
func parseSSH(text []byte, ask Asker) (*File, error) {
	i, err := agessh.ParseIdentity(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return &File{others: []age.Identity{i}}, nil
	case !errors.As(err, &locked) || locked.PublicKey == nil:
		return nil, errors.New("the private key of SSH cannot be read: only ssh-ed25519 and ssh-rsa can be used, a locked one in OpenSSH's own format")
	}
	i, err = agessh.NewEncryptedSSHIdentity(locked.PublicKey, text, func() ([]byte, error) {
		passphrase, err := ask.secret("passphrase of the private key of SSH")
		return []byte(passphrase), err
	})
	if err != nil {
		return nil, errors.New("the private key of SSH cannot be used")
	}
	return &File{others: []age.Identity{i}}, nil
}

// Person is whom a vault's identities are sealed to.
type Person struct {
	recipient age.Recipient
	shown     string
}

// String is the public key, for people; of a passphrase it is that there is one.
func (p *Person) String() string { return p.shown }

// errMixed is the rule that what is sealed against quantum computers is sealed to nobody else.
var errMixed = errors.New("the vault's keys are post-quantum: whoever breaks a key of another kind would have them; use a recipient that begins with " + hybridRecipient)

// ParsePerson reads a recipient: of age (`age1…`), of a plugin, or a public key of SSH.
func ParsePerson(s string, of *Public, ask Asker) (*Person, error) {
	if strings.HasPrefix(strings.ToUpper(s), "AGE-") || strings.Contains(s, "PRIVATE KEY") {
		return nil, errors.New("a recipient is a secret key: give the public one, and make a new pair, as others could read this one")
	}
	r, err := parseRecipient(s, ask)
	if err != nil {
		return nil, fmt.Errorf("recipient %.80q: %w", s, err)
	}
	if _, hybrid := r.(*age.HybridRecipient); of.IsPostQuantum() && !hybrid {
		return nil, fmt.Errorf("recipient %.80q: %w", s, errMixed)
	}
	return &Person{r, s}, nil
}

func parseRecipient(s string, ask Asker) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(s, "ssh-"):
		return agessh.ParseRecipient(s)
	case strings.HasPrefix(s, hybridRecipient):
		return age.ParseHybridRecipient(s)
	}
	r, err := age.ParseX25519Recipient(s)
	if err == nil {
		return r, nil
	}
	if name, _, errPlugin := plugin.ParseRecipient(s); errPlugin == nil && name != "" {
		return plugin.NewRecipient(s, ask.pluginUI())
	}
	return nil, errors.New("it is no recipient of age (age1…) and no public key of SSH (ssh-ed25519 …, ssh-rsa …)")
}

// PassphraseShown stands for a recipient where a key is a passphrase.
const PassphraseShown = "passphrase"

// minPassphrase is what cannot be tried out in a day by who has stolen the bucket.
const minPassphrase = 12

// WithPassphrase is a person who has no key but a passphrase.
func WithPassphrase(passphrase string) (*Person, error) {
	if len(passphrase) < minPassphrase {
		return nil, fmt.Errorf("the passphrase is shorter than %d characters: whoever reads the storage can try out as many as they like", minPassphrase)
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, errors.New("the passphrase cannot be used")
	}
	return &Person{r, PassphraseShown}, nil
}

// NewPerson makes a pair of keys of the vault's kind.
func NewPerson(of *Public) (p *Person, identity string, err error) {
	kind := X25519
	if of.IsPostQuantum() {
		kind = Hybrid
	}
	identity, recipient, err := generate(kind)
	if err != nil {
		return nil, "", err
	}
	r, err := parseRecipient(recipient, Asker{})
	if err != nil {
		return nil, "", fmt.Errorf("make recipient: %w", err)
	}
	return &Person{r, recipient}, identity, nil
}

// Label says of a key who has it.
type Label struct {
	ID   ID
	Name string
}

// SealTo writes the object under keys/ that holds the vault's identities for one person.
func (h *Held) SealTo(p *Person, label Label) ([]byte, error) {
	f := h.file(label)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, p.recipient)
	if err != nil {
		return nil, fmt.Errorf("seal keys to %s: %w", p, err)
	}
	if _, err := w.Write(f.Append(nil)); err != nil {
		return nil, fmt.Errorf("seal keys to %s: %w", p, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal keys to %s: %w", p, err)
	}
	return out.Bytes(), nil
}

func (h *Held) file(label Label) *File {
	f := &File{Public: h.Public, Key: label.ID, Name: label.Name, data: h.data, catalog: h.catalog}
	if h.keeper != nil {
		f.keeper = formatKeeper(h.keeper)
	}
	return f
}

// FileFor is the key file of a person with an identity that was just made. It holds what the
// person may have of the vault's own identities, too: so that age alone opens objects with it,
// and that who deletes keys/ takes nothing away for good.
func (h *Held) FileFor(label Label, identity string) []byte {
	f := h.file(label)
	f.own = identity
	return f.Append(nil)
}

// Sheet is a key file of the vault's own identities alone, to be printed. It opens the vault
// whatever becomes of the objects under keys/.
func (h *Held) Sheet() []byte { return h.file(Label{}).Append(nil) }

// maxWork bounds what a hostile object can make us compute for a passphrase: what ours take, a second and 256 MiB.
const maxWork = 18

// Unseal opens an object of keys/. What is not sealed to one of the identities is
// [ErrNotForThis].
func unseal(object []byte, identities ...age.Identity) (*Held, error) {
	r, err := age.Decrypt(bytes.NewReader(object), identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, errNotForThis
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(r, maxFile+1))
	}
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	f, err := ParseFile(text, Asker{})
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	return f.held()
}

// errNotForThis means that keys are sealed to somebody else.
var errNotForThis = errors.New("the keys are sealed to another identity")

// IsPassphrase says that an object of keys/ is sealed with a passphrase.
func IsPassphrase(object []byte) bool {
	_, rest, _ := bytes.Cut(object, []byte("\n"))
	return bytes.HasPrefix(rest, []byte("-> scrypt "))
}

// held is the vault's identities that a file has; the one of the catalog must be there.
func (f *File) held() (*Held, error) {
	h := &Held{Public: f.Public, data: f.data, catalog: f.catalog}
	if f.keeper != "" {
		var err error
		if h.keeper, err = parseKeeper(f.keeper); err != nil {
			return nil, err
		}
	}
	return h, h.check()
}
