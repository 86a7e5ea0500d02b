package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/restore"
	"coldstream/vault"
)

// The exit codes, as the documentation promises them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitIncomplete  = 3
	exitBelowTarget = 4
	exitDamage      = 5
	exitNoVault     = 10
	exitKey         = 12
	exitUnreachable = 13
	exitInterrupted = 130
)

// failure is an error with the exit code it stands for and what to do about it.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usagef(hint string, err error) error { return &failure{code: exitUsage, err: err, hint: hint} }

var errNoVault = errors.New("no vault there")

// classify gives an error its exit code and hint.
func classify(ctx context.Context, err error) *failure {
	var f *failure
	var usage interface{ UsageHint() string }
	var refused interface{ Hint() string }
	var key *keyring.WrongKeyError
	engine := classifyEngine(err)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return &failure{exitInterrupted, errors.New("interrupted"), ""}
	case errors.As(err, &f):
		return f
	case engine != nil:
		return engine
	case errors.As(err, &key):
		return &failure{exitKey, err, keyHint(key)}
	case errors.Is(err, keyring.ErrCatalogOnly):
		return &failure{exitKey, err, needText(keyring.NeedRecords)}
	case errors.Is(err, blob.ErrNoBucket) && errors.As(err, &refused):
		return &failure{exitNoVault, err, refused.Hint()}
	case errors.As(err, &usage):
		return &failure{exitUsage, err, withInput(err, usage.UsageHint())}
	case errors.Is(err, coldstream.ErrUnreachable) && errors.As(err, &refused):
		return &failure{exitUnreachable, err, withInput(err, refused.Hint())}
	case errors.As(err, &refused):
		return &failure{exitFailed, err, refused.Hint()}
	case errors.Is(err, coldstream.ErrUnreachable):
		return &failure{exitUnreachable, err, "check --bootstrap-server, and that the brokers' advertised listeners can be reached from here"}
	case errors.Is(err, coldstream.ErrDenied):
		return &failure{exitUnreachable, err, "the user that coldstream logs in as lacks a right; see what it needs with: coldstream doctor --for backup (or restore)"}
	case errors.Is(err, vault.ErrReadBack):
		return &failure{exitFailed, err, "nothing of it was stored; test this host's memory, and run the backup on another host"}
	case errors.Is(err, coldstream.ErrCorrupt):
		return &failure{exitDamage, err, "see what is lost with: coldstream verify --deep"}
	case errors.Is(err, syscall.EROFS):
		return &failure{exitFailed, err, "a backup writes into the vault, and so does a restore without --state FILE. Make the vault's file system writable."}
	case errors.Is(err, fs.ErrPermission):
		return &failure{exitFailed, err, "check the permissions of the vault's folder"}
	}
	return &failure{exitFailed, err, ""}
}

// classifyEngine gives those errors their hints that restore and vault tell as facts.
func classifyEngine(err error) *failure {
	var usage *restore.UsageError
	var choice *vault.ChoiceError
	var refused *restore.RefusedError
	var unrecorded *restore.UnrecordedError
	switch {
	case errors.As(err, &usage):
		return sayUsage(usage)
	case errors.As(err, &choice):
		return &failure{exitUsage, err, choiceHint(choice)}
	case errors.As(err, &refused):
		return &failure{exitFailed, err, adviceText(refused.Advice)}
	case errors.As(err, &unrecorded):
		return &failure{exitFailed, err, unrecordedHint(unrecorded)}
	}
	return nil
}

// incomplete is the exit code of a run that is done, but where something named in its
// result is not as asked; it prints nothing.
type incomplete struct{ code int }

func (i *incomplete) Error() string { return "done, but not all is as asked" }
