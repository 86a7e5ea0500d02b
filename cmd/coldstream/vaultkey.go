package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coldstream/internal/keyring"
	"coldstream/internal/terminal"
)

// addKeyFlag is for commands that open a vault.
func (o *vaultOptions) addKeyFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&o.keyFiles, "key-file", nil,
		"open an encrypted vault with the key in `FILE` (environment: COLDSTREAM_KEY_FILE, or COLDSTREAM_KEY_COMMAND, which prints one)")
}

// key finds the key of an encrypted vault: the one that the command line names, then those of
// the environment, then the file that init writes. Where there is none a passphrase may do.
func (o *vaultOptions) key(e *env) func(ctx context.Context, vaultID string) (keyring.Key, error) {
	return func(ctx context.Context, vaultID string) (keyring.Key, error) {
		for _, source := range []func() (*keyring.File, error){
			func() (*keyring.File, error) { return o.namedKey(vaultID, o.keyFiles, e) },
			func() (*keyring.File, error) {
				if path := e.getenv("COLDSTREAM_KEY_FILE"); path != "" {
					return o.namedKey(vaultID, []string{path}, e)
				}
				return nil, errNoKey
			},
			func() (*keyring.File, error) { return keyOfCommand(ctx, vaultID, e) },
			func() (*keyring.File, error) { return defaultKey(vaultID, e) },
		} {
			file, err := source()
			if errors.Is(err, errNoKey) {
				continue
			}
			var wrong *keyring.WrongKeyError
			switch {
			case errors.As(err, &wrong):
				return nil, err
			case err != nil:
				return nil, keyring.Wrong("", err)
			}
			return file, nil
		}
		ask := e.asker()
		if passphrase := e.getenv("COLDSTREAM_PASSPHRASE"); passphrase != "" {
			ask.Secret = func(string) (string, error) { return passphrase, nil }
		}
		return &keyring.Passphrase{Ask: ask}, nil
	}
}

// errNoKey means that a key is to be looked for elsewhere.
var errNoKey = errors.New("no key here")

// namedKey reads the one of several key files that is of this vault, or of none in particular.
// Where none is, the first is taken, and the vault says what is wrong with it; but a command
// with two vaults looks on for the other one's.
func (o *vaultOptions) namedKey(vaultID string, paths []string, e *env) (*keyring.File, error) {
	var first *keyring.File
	for _, path := range paths {
		file, err := readKeyFile(path, e)
		if err != nil {
			return nil, err
		}
		if file.VaultID == "" || file.VaultID == vaultID {
			return file, nil
		}
		first = cmp.Or(first, file)
	}
	if first == nil || o.isOneOfTwo {
		return nil, errNoKey
	}
	return first, nil
}

func readKeyFile(path string, e *env) (*keyring.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	// systemd lets the service read its credentials by an access control list, which shows as rights of the group.
	isCredential := filepath.Dir(path) == e.getenv("CREDENTIALS_DIRECTORY")
	if readers := info.Mode().Perm() & 0o077; readers != 0 && info.Mode().IsRegular() && runtime.GOOS != "windows" && !isCredential {
		return nil, keyring.Wrong("chmod 600 "+path, fmt.Errorf("key file %s can be read by other users of this host (mode %04o)", path, info.Mode().Perm()))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	file, err := keyring.ParseFile(text, e.asker())
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return file, nil
}

// refuseIfKeyed is for a vault that is not encrypted. Who gave a key for it expects that it is, and
// would store in the clear what they wanted to hide: somebody may have put this vault in its place.
func (o *vaultOptions) refuseIfKeyed(vaultID string, e *env) error {
	paths := slices.Clone(o.keyFiles)
	if path := e.getenv("COLDSTREAM_KEY_FILE"); path != "" {
		paths = append(paths, path)
	}
	given := e.getenv("COLDSTREAM_KEY_COMMAND") != "" && !o.isOneOfTwo
	for _, path := range paths {
		file, err := readKeyFile(path, e)
		given = given || !o.isOneOfTwo || err == nil && file.VaultID == vaultID
	}
	if _, err := defaultKey(vaultID, e); !errors.Is(err, errNoKey) {
		given = true
	}
	if !given {
		return nil
	}
	return keyring.Wrong("if it was never encrypted, leave the key out (--key-file, COLDSTREAM_KEY_FILE, COLDSTREAM_KEY_COMMAND). Else somebody has replaced it: store nothing there.",
		errors.New("the vault is not encrypted, and a key was given for it"))
}

// keyOfCommand runs what prints a key file, as a password manager does.
func keyOfCommand(ctx context.Context, vaultID string, e *env) (*keyring.File, error) {
	command := e.getenv("COLDSTREAM_KEY_COMMAND")
	if command == "" {
		return nil, errNoKey
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	if runtime.GOOS == "windows" {
		cmd = exec.CommandContext(ctx, "cmd", "/c", command)
	}
	cmd.Env = append(os.Environ(), "COLDSTREAM_VAULT_ID="+vaultID)
	cmd.Stderr = e.stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run COLDSTREAM_KEY_COMMAND: %w", err)
	}
	file, err := keyring.ParseFile(text, e.asker())
	if err != nil {
		return nil, fmt.Errorf("what COLDSTREAM_KEY_COMMAND printed: %w", err)
	}
	return file, nil
}

// defaultKey reads the file that init writes where nothing else is said.
func defaultKey(vaultID string, e *env) (*keyring.File, error) {
	path, err := defaultKeyPath(vaultID, e)
	if err != nil {
		return nil, errNoKey
	}
	file, err := readKeyFile(path, e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoKey
	}
	return file, err
}

func defaultKeyPath(vaultID string, e *env) (string, error) {
	folder, err := e.configFolder()
	if err != nil {
		return "", fmt.Errorf("find the folder for the key file: %w", err)
	}
	return filepath.Join(folder, "coldstream", vaultID+".key"), nil
}

// configFolder is where users keep their configuration.
func (e *env) configFolder() (string, error) {
	if folder := e.getenv("XDG_CONFIG_HOME"); folder != "" && filepath.IsAbs(folder) {
		return folder, nil
	}
	if home := e.getenv("HOME"); home != "" && runtime.GOOS != "darwin" && runtime.GOOS != "windows" {
		return filepath.Join(home, ".config"), nil
	}
	return os.UserConfigDir()
}

// writeKeyFile makes a file that only its owner can read. One that is there is never replaced.
func writeKeyFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &failure{exitFailed, fmt.Errorf("write key file: %w", err), "name a file that is not there yet: a key that is lost cannot be had again"}
	}
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// asker asks for secrets on a terminal.
func (e *env) asker() keyring.Asker {
	ask := keyring.Asker{Show: func(text string) { e.note("%s", text) }}
	if e.stdinTerminal && e.readSecret != nil {
		ask.Secret = func(prompt string) (string, error) {
			fmt.Fprintf(e.stderr, "coldstream: %s: ", terminal.Visible(prompt))
			secret, err := e.readSecret()
			fmt.Fprint(e.stderr, "\n")
			return string(bytes.TrimSpace(secret)), err
		}
	}
	return ask
}

// newPassphrase asks for a passphrase twice, or takes the one of the environment.
func (e *env) newPassphrase() (string, error) {
	if passphrase := e.getenv("COLDSTREAM_PASSPHRASE"); passphrase != "" {
		return passphrase, nil
	}
	ask := e.asker()
	if ask.Secret == nil {
		return "", usagef("set COLDSTREAM_PASSPHRASE", errors.New("there is no terminal to ask for the passphrase"))
	}
	passphrase, err := ask.Secret("new passphrase")
	if err != nil {
		return "", err
	}
	again, err := ask.Secret("once more")
	if err == nil && again != passphrase {
		err = errors.New("the two passphrases differ")
	}
	return strings.TrimSpace(passphrase), err
}
