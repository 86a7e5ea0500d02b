package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"coldstream/blob"
)

func TestCheckKey(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 128)+"/", 3)
	for key, want := range map[string]bool{
		"a":                             true,
		"vault.json":                    true,
		"epochs/0000000000/begun":       true,
		"-/_/0-_.9":                     true,
		"a..b":                          true,
		strings.Repeat("a", 128):        true,
		long + strings.Repeat("a", 125): true, // 512 bytes

		"":                              false,
		"/":                             false,
		"/a":                            false,
		"a/":                            false,
		"a//b":                          false,
		".":                             false,
		"..":                            false,
		"../a":                          false,
		"a/../b":                        false,
		".a":                            false,
		"a/.tmp/b":                      false,
		"a.":                            false, // Windows drops the dot: two keys, one file
		"a./b":                          false,
		"A":                             false, // one file with "a" where cases are not told apart
		"a b":                           false,
		"a\\b":                          false,
		"c:a":                           false,
		"a\x00b":                        false,
		"a\n":                           false,
		"ä":                             false,
		"a%2fb":                         false,
		"a*":                            false,
		strings.Repeat("a", 129):        false,
		long + strings.Repeat("a", 126): false, // 513 bytes
	} {
		if err := blob.CheckKey(key); (err == nil) != want {
			t.Errorf("CheckKey(%q) = %v, want accepted: %v", key, err, want)
		}
	}
}

var errBroken = errors.New("broken")

// object is what a store answers; its size and its body need not agree.
type object struct {
	io.Reader
	size     int64
	closeErr error
	closed   int
}

func (o *object) Close() error {
	o.closed++
	return o.closeErr
}

type oneObject struct {
	blob.Store
	object *object
}

func (s oneObject) Open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	if key != "there" {
		return nil, 0, &fs.PathError{Op: "open", Path: key, Err: fs.ErrNotExist}
	}
	return s.object, s.object.size, nil
}

func TestReadAll(t *testing.T) {
	body := func() io.Reader { return strings.NewReader("12345") }
	for name, c := range map[string]struct {
		object *object
		max    int64
		want   string
		err    error // nil: any, if want is empty
	}{
		"whole":              {&object{Reader: body(), size: 5}, 9, "12345", nil},
		"byte by byte":       {&object{Reader: iotest.OneByteReader(body()), size: 5}, 5, "12345", nil},
		"ends early":         {&object{Reader: body(), size: 6}, 9, "", io.ErrUnexpectedEOF},
		"ends at once":       {&object{Reader: strings.NewReader(""), size: 6}, 9, "", io.ErrUnexpectedEOF},
		"larger than wanted": {&object{Reader: body(), size: 5}, 4, "", nil},
		"no size":            {&object{Reader: body(), size: -1}, 9, "", nil},
		"read fails":         {&object{Reader: iotest.ErrReader(errBroken), size: 5}, 9, "", errBroken},
		"close fails":        {&object{Reader: body(), size: 5, closeErr: errBroken}, 9, "", errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := blob.ReadAll(t.Context(), oneObject{object: c.object}, "there", c.max)
			if string(got) != c.want || (err == nil) != (c.want != "") || !errors.Is(err, c.err) && c.err != nil {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
			}
			if c.object.closed != 1 {
				t.Errorf("closed %d times", c.object.closed)
			}
		})
	}
	if _, err := blob.ReadAll(t.Context(), oneObject{}, "absent", 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want fs.ErrNotExist", err)
	}
	empty, err := blob.ReadAll(t.Context(), oneObject{object: &object{Reader: strings.NewReader("")}}, "there", 0)
	if err != nil || !bytes.Equal(empty, nil) {
		t.Errorf("empty: %q, %v", empty, err)
	}
}
