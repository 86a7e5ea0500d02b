package restore

import (
	"errors"
	"strings"
	"testing"

	"coldstream"
	"coldstream/vault"
)

func patterns(t *testing.T, include ...string) *coldstream.Patterns {
	t.Helper()
	ps, err := coldstream.ParsePatterns(include, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// isUsage fails the test unless err is one of the request with these parts of text and advice.
func isUsage(t *testing.T, err error, want string) {
	t.Helper()
	text, hint, _ := strings.Cut(want, " | ")
	var usage *UsageError
	var pattern *coldstream.PatternError
	var choice *vault.ChoiceError
	next := ""
	switch {
	case errors.As(err, &usage):
		next = usage.Advice.Text
	case errors.As(err, &choice):
		next = choice.Next
	case errors.As(err, &pattern):
		next = pattern.UsageHint()
	default:
		t.Fatalf("got %v, want an error of the request", err)
	}
	if !strings.Contains(err.Error(), text) || !strings.Contains(next, hint) {
		t.Errorf("got %q, advice %q, want %q, advice %q", err.Error(), next, text, hint)
	}
}
