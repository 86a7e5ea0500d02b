package restore

import (
	"errors"
	"strings"
	"testing"

	"coldstream"
)

func patterns(t *testing.T, include ...string) *coldstream.Patterns {
	t.Helper()
	ps, err := coldstream.ParsePatterns(include, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// isUsage fails the test unless err is one of the command line with these parts of text and hint.
func isUsage(t *testing.T, err error, want string) {
	t.Helper()
	text, hint, _ := strings.Cut(want, " | ")
	var usage interface {
		error
		UsageHint() string
	}
	if !errors.As(err, &usage) {
		t.Fatalf("got %v, want an error of the command line", err)
	}
	if !strings.Contains(usage.Error(), text) || !strings.Contains(usage.UsageHint(), hint) {
		t.Errorf("got %q, hint %q, want %q, hint %q", usage.Error(), usage.UsageHint(), text, hint)
	}
}
