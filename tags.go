package coldstream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tags are what people say of a snapshot. The zero value says nothing.
type Tags struct {
	// Values are the tags by their keys.
	Values map[string]string
	// Pinned keeps the snapshot, whatever a policy says.
	Pinned bool
}

// IsZero tells whether nothing is said.
func (t *Tags) IsZero() bool { return len(t.Values) == 0 && !t.Pinned }

// Clone is a copy that shares nothing.
func (t *Tags) Clone() Tags { return Tags{Values: maps.Clone(t.Values), Pinned: t.Pinned} }

// Equal tells whether both say the same.
func (t *Tags) Equal(other *Tags) bool {
	return t.Pinned == other.Pinned && maps.Equal(t.Values, other.Values)
}

// String lists the tags as KEY=VALUE, by their keys.
func (t *Tags) String() string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(t.Values)) {
		words = append(words, key+"="+t.Values[key])
	}
	if t.Pinned {
		words = append(words, "pinned")
	}
	return strings.Join(words, ", ")
}

// ParseTags reads tags, each as KEY=VALUE. A key is not empty, and no key comes twice with
// different values.
func ParseTags(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		key, value, is := strings.Cut(text, "=")
		if !is || key == "" {
			return nil, fmt.Errorf("tag %q is not KEY=VALUE", text)
		}
		if before, again := out[key]; again && before != value {
			return nil, fmt.Errorf("tag %q has two values, %q and %q", key, before, value)
		}
		out[key] = value
	}
	return out, nil
}

// TagFilter asks for tags, each as KEY=VALUE, or as KEY for any value. All of them must be there.
type TagFilter []string

// Check is an error if one of them is neither.
func (f TagFilter) Check() error {
	for _, text := range f {
		if key, _, _ := strings.Cut(text, "="); key == "" {
			return fmt.Errorf("tag %q is neither KEY=VALUE nor KEY", text)
		}
	}
	return nil
}

// Matches tells whether all tags that are asked for are there.
func (f TagFilter) Matches(t *Tags) bool {
	for _, text := range f {
		key, value, hasValue := strings.Cut(text, "=")
		if got, there := t.Values[key]; !there || hasValue && got != value {
			return false
		}
	}
	return true
}
