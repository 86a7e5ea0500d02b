package format

import (
	"errors"
	"testing"

	"coldstream"
)

// TestOneByteMore: a structure ends with its last byte. What is behind it would be under
// no rule, and one value would have two encodings.
func TestOneByteMore(t *testing.T) {
	for name, c := range map[string]struct {
		value  interface{ Append([]byte) ([]byte, error) }
		decode func([]byte) error
	}{
		"commit": {testCommit(), func(b []byte) error { _, err := DecodeCommit(b); return err }},
		"table":  {testTable(), func(b []byte) error { _, err := DecodeTable(b); return err }},
		"base":   {testBase(), func(b []byte) error { _, err := DecodeBase(b); return err }},
	} {
		b, err := c.value.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.decode(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.decode(append(b, 0)); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s with a byte behind it: %v", name, err)
		}
	}
}
