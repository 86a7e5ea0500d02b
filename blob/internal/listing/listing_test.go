package listing

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"coldstream/blob"
)

// TestKeys: of the names that a service lists, keys with the prefix that are greater than after are
// given, in their order or not at all.
func TestKeys(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		names         string // "!" is a failure
		prefix, after string
		from          string // that the service is asked to begin at
		want          string
		fails         string
	}{
		"all":              {names: "r/a r/b/c", want: "a b/c"},
		"those behind":     {names: "r/a r/b r/c", after: "a", from: "r/a", want: "b c"},
		"no keys":          {names: "r/A r/a r/b/ r/b/.x r/c", want: "a c"},
		"of others":        {names: "r/packs/a r/pacz", prefix: "packs/", want: "packs/a"},
		"from the first":   {names: "r/commits/a r/packs/a r/packs/b", prefix: "packs/", after: "packs/a", from: "r/packs/a", want: "packs/b"},
		"out of order":     {names: "r/b r/a", want: "b", fails: "in the order of keys"},
		"twice":            {names: "r/b r/b", want: "b", fails: "in the order of keys"},
		"failure":          {names: "r/a ! r/b", want: "a", fails: "broken"},
		"no key begins so": {names: "!", prefix: "A/"},
	} {
		t.Run(name, func(t *testing.T) {
			service := func(_ context.Context, prefix, from string) iter.Seq2[blob.Entry, error] {
				if prefix != "r/"+c.prefix || from != c.from {
					t.Errorf("asked for %q from %q on", prefix, from)
				}
				return func(yield func(blob.Entry, error) bool) {
					for name := range strings.SplitSeq(c.names, " ") {
						if name == "!" {
							yield(blob.Entry{}, broken)
							return
						}
						if !yield(blob.Entry{Key: name}, nil) {
							return
						}
					}
				}
			}
			var got []string
			var failed error
			for e, err := range Keys(t.Context(), service, "r/", c.prefix, c.after) {
				if failed = err; err == nil {
					got = append(got, e.Key)
				}
			}
			if !slices.Equal(got, strings.Fields(c.want)) || (failed != nil) != (c.fails != "") || failed != nil && !strings.Contains(failed.Error(), c.fails) {
				t.Errorf("got %q, %v, want %q, %q", got, failed, c.want, c.fails)
			}
		})
	}
}

// TestListingEnds: who has seen enough, or is interrupted, leaves no client behind that lists on.
func TestListingEnds(t *testing.T) {
	ended := false
	endless := func(ctx context.Context, _, _ string) iter.Seq2[blob.Entry, error] {
		return func(yield func(blob.Entry, error) bool) {
			for key := "a"; ctx.Err() == nil && yield(blob.Entry{Key: key}, nil); key += "a" {
			}
			ended = true
		}
	}
	for _, err := range Keys(t.Context(), endless, "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range Keys(ctx, endless, "", "", "") {
		cancel()
	}
	if !ended || !errors.Is(last, context.Canceled) {
		t.Errorf("ended %v, %v", ended, last)
	}
	if name, err := First(t.Context(), endless, ""); name != "a" || err != nil {
		t.Errorf("the first is %q, %v", name, err)
	}
}
