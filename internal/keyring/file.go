package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// File is a key file: who has it opens a vault with it. Its text is one that age takes as a file
// of identities too, so that `age -d -i FILE` opens objects without Coldstream.
type File struct {
	// Public is pinned; all of it is empty in a file that Coldstream did not write.
	Public
	// Key and Name say which of the vault's keys it is; empty on a recovery sheet.
	Key  ID
	Name string
	// own is the identity of the file's owner. Others are identities of a file that Coldstream
	// did not write.
	own    string
	others []age.Identity
	// What of the vault's own identities the file holds; all may be empty.
	data, catalog, keeper string
}

const (
	fileTitle = "# Coldstream key file, version 1"
	// maxFile bounds what is read of a key file, or of an object with keys.
	maxFile = 64 << 10
)

// fields are the lines of a key file that are comments to age.
const (
	fieldVault   = "vault"
	fieldKey     = "key"
	fieldName    = "name"
	fieldData    = "data"
	fieldCatalog = "catalog"
	fieldKeeper  = "keeper"
	fieldSecret  = "keeper secret"
)

var fieldLine = regexp.MustCompile(`^# (vault|key|name|data|catalog|keeper secret|keeper): (\S.*)$`)

// Append writes the file.
func (f *File) Append(dst []byte) []byte {
	line := func(format string, args ...any) { dst = fmt.Appendf(dst, format+"\n", args...) }
	field := func(name, value string) {
		if value != "" {
			line("# %s: %s", name, value)
		}
	}
	line("%s", fileTitle)
	if f.isKeeperOnly() {
		line("# Keep it secret: whoever has it may take away what the vault holds.")
	} else {
		line("# Keep it secret: whoever has it opens the vault.")
	}
	field(fieldVault, f.VaultID)
	field(fieldKey, string(f.Key))
	field(fieldName, f.Name)
	field(fieldData, f.Data)
	field(fieldCatalog, f.Catalog)
	field(fieldKeeper, f.Keeper)
	field(fieldSecret, f.keeper)
	for _, identity := range []struct{ of, text string }{
		{"This key's own identity", f.own}, {"The vault's data identity", f.data}, {"The vault's catalog identity", f.catalog},
	} {
		if identity.text != "" {
			line("# %s", identity.of)
			line("%s", identity.text)
		}
	}
	return dst
}

// ParseFile reads a key file, or a file of identities that Coldstream did not write: those of
// age, of its plugins, or one private key of SSH. Nothing of the text is repeated in errors.
func ParseFile(text []byte, ask Asker) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%d bytes are too many for a key file", len(text))
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return parseSSH(text, ask)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("# Coldstream key file")) {
		return parseForeign(text, ask)
	}
	f := &File{}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	if strings.TrimSpace(lines[0]) != fileTitle {
		return nil, errors.New("the key file is of a version that this program does not know")
	}
	for _, l := range lines[1:] {
		if err := f.takeLine(strings.TrimSpace(l)); err != nil {
			return nil, err
		}
	}
	return f, f.check()
}

func (f *File) takeLine(l string) error {
	m := fieldLine.FindStringSubmatch(l)
	switch {
	case l == "" || m == nil && strings.HasPrefix(l, "#"):
		return nil
	case m == nil:
		return f.takeIdentity(l)
	}
	into := map[string]*string{
		fieldVault: &f.VaultID, fieldKey: (*string)(&f.Key), fieldName: &f.Name, fieldData: &f.Data, fieldCatalog: &f.Catalog,
		fieldKeeper: &f.Keeper, fieldSecret: &f.keeper,
	}[m[1]]
	if *into != "" {
		return fmt.Errorf("the key file has two lines %q", "# "+m[1])
	}
	*into = m[2]
	return nil
}

// takeIdentity finds out whose an identity is: the vault's are those of the pinned recipients.
func (f *File) takeIdentity(l string) error {
	recipient, err := recipientOf(l)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	into := &f.own
	switch recipient {
	case f.Data:
		into = &f.data
	case f.Catalog:
		into = &f.catalog
	}
	if *into != "" {
		return errors.New("the key file has an identity too many, or one in front of the lines that say whose it is")
	}
	*into = l
	return nil
}

func (f *File) check() error {
	if f.VaultID == "" || (f.Data == "" || f.Catalog == "") && !f.isKeeperOnly() {
		return errors.New("the key file does not say of which vault it is: a line is missing")
	}
	if !isVaultID.MatchString(f.VaultID) {
		return errors.New("the key file's line of the vault cannot be read")
	}
	if f.Key != "" {
		if _, err := ParseID(string(f.Key)); err != nil {
			return err
		}
	}
	if f.keeper != "" {
		key, err := parseKeeper(f.keeper)
		if err != nil {
			return err
		}
		if err := (&Held{Public: f.Public, catalog: f.catalog, keeper: key}).checkKeeper(); err != nil {
			return err
		}
	}
	if f.own == "" && f.catalog == "" && !f.isKeeperOnly() {
		return errors.New("the key file holds no identity")
	}
	return nil
}

var isVaultID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// parseForeign reads identities one a line, as age writes them.
func parseForeign(text []byte, ask Asker) (*File, error) {
	f := &File{}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		identity, err := parseIdentity(l, ask)
		if err != nil {
			return nil, fmt.Errorf("key file: %w", err)
		}
		f.others = append(f.others, identity)
	}
	if len(f.others) == 0 {
		return nil, errors.New("the key file holds no identity")
	}
	return f, nil
}

func parseIdentity(l string, ask Asker) (age.Identity, error) {
	if strings.HasPrefix(l, "AGE-PLUGIN-") {
		i, err := plugin.NewIdentity(l, ask.pluginUI())
		if err != nil {
			return nil, errors.New("an identity of an age plugin cannot be read")
		}
		return i, nil
	}
	return parseNative(l)
}

// CheckName refuses what a line of a key file cannot hold.
func CheckName(name string) error {
	if strings.TrimSpace(name) != name || name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is no name of a key: one line of up to 64 bytes", name)
	}
	return nil
}
