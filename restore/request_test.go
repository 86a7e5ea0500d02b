package restore

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

func TestMapNames(t *testing.T) {
	tests := []struct {
		text, topic string
		want        string // "" if the map does not speak of the topic
	}{
		{"orders=orders-2", "orders", "orders-2"},
		{"orders=orders-2", "orders-eu", ""},
		{"orders=orders", "orders", "orders"},
		{"/(.*)/=copy-of-$1", "orders", "copy-of-orders"},
		{"/(.*)/=$1", "orders", "orders"},
		{"/orders-(eu|us)/=$1-orders", "orders-eu", "eu-orders"},
		{"/orders/=x", "orders-eu", ""},
		{"/a|b/=x", "ab", ""},
		{"/(.*)-(.*)/=$2.$1", "orders-eu", "eu.orders"},
		// With the template rules of Go's regexp these would be groups of the name "1_copy"
		// and "1x", which are empty.
		{"/(.*)/=$1_copy", "orders", "orders_copy"},
		{"/(.*)/=$1x", "orders", "ordersx"},
		{"/(.*)/=${1}0", "orders", "orders0"},
		{"/(.*)(.)/=$1$2$2", "orders", "orderss"},
		{"/(?P<base>.*)-eu/=${base}-us", "orders-eu", "orders-us"},
		{"/.*/=$0-2", "orders", "orders-2"},
	}
	for _, tt := range tests {
		m, err := ParseMap(tt.text)
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s: %v", tt.text, err)
			}
			continue
		}
		got, ok := m.Apply(tt.topic)
		if ok && got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s makes %s of %s (%v), want %s", tt.text, got, tt.topic, ok, tt.want)
		}
	}
}

func TestParseMapRefuses(t *testing.T) {
	for _, text := range []string{
		"", "=", "a", "a=", "=b", "/a/", "/a=b", "/=b", "//=b", "/(/=b", "/a)|(b/=c", "/a/b/=c",
		"a=b=c", "a=b,c=d", "a=b/c", "a=ä", "a b=c", "a=.", "a=" + strings.Repeat("x", 250),
		"/a/=$1", "/(a)/=$2", "/(a)/=$name", "/(a)/=x$", "/(a)/=$$x", "/(a)/=${1", "/(a)/=b/c", "/(a)/=x=y",
	} {
		var usage *UsageError
		if m, err := ParseMap(text); !errors.As(err, &usage) {
			t.Errorf("ParseMap(%q) = %+v, %v, want a UsageError", text, m, err)
		}
	}
}

// FuzzParseMap: what is accepted makes of a name that it speaks of another, or one that
// the plan refuses, but never an empty one out of a template that is not.
func FuzzParseMap(f *testing.F) {
	for _, seed := range []string{"a=b", "/(.*)/=$1_copy", "/a)|(b/=c", "/(x)?orders/=${1}y", "a=b=c", "/(a)/=$$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMap(text)
		if err != nil {
			if !errors.As(err, new(*UsageError)) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, topic := range []string{"a", "orders", "ab"} {
			if to, ok := m.Apply(topic); ok && to != "" && strings.Contains(to, "$") {
				t.Fatalf("%q makes %q of %q", text, to, topic)
			}
		}
	})
}

func TestParsePartitions(t *testing.T) {
	tests := map[string][]int32{
		"0":                {0},
		"0-3,7":            {0, 1, 2, 3, 7},
		" 1 , 2-3 ":        {1, 2, 3},
		"7,0":              {0, 7},
		"1-3,2-4,2":        {1, 2, 3, 4},
		"2147483647":       {2147483647},
		"5-5":              {5},
		"0002":             {2},
		"2147483648":       nil,
		"":                 nil,
		",":                nil,
		"1,":               nil,
		"3-1":              nil,
		"-1":               nil,
		"1-":               nil,
		"1-2-3":            nil,
		"+1":               nil,
		"1-+3":             nil,
		"0x1":              nil,
		"1_0":              nil,
		"a":                nil,
		"0-2000000":        nil,
		"0-999999,1000000": nil, // more than any topic has
	}
	for text, want := range tests {
		got, err := ParsePartitions(text)
		if want == nil {
			if !errors.As(err, new(*UsageError)) {
				t.Errorf("ParsePartitions(%q) = %d partitions, %v, want a UsageError", text, len(got), err)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParsePartitions(%q): %v, -want +got:\n%s", text, err, diff)
		}
	}
}

func FuzzParsePartitions(f *testing.F) {
	for _, seed := range []string{"0", "0-3,7", "1-3,2-4", "0-1000000,0-1000000", "-", "2147483647-2147483648"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParsePartitions(text)
		if err != nil {
			return
		}
		if len(got) == 0 || len(got) > 2*maxPartitions || got[0] < 0 {
			t.Fatalf("%q is %d partitions", text, len(got))
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("%q is read out of order or with partitions twice", text)
		}
	})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	usage := &UsageError{Option: OptionConfig, Text: "x: what"}
	if usage.Error() != "config x: what" {
		t.Error(usage)
	}
	refused := &RefusedError{Reasons: []string{"one", "two"}}
	if refused.Error() != "nothing was restored: one; two" {
		t.Error(refused)
	}
	if !coldstream.IsInternalName("__consumer_offsets") || coldstream.IsInternalName("__x") || coldstream.IsInternalName("_x") {
		t.Error("internal are Kafka's own names only")
	}
}
