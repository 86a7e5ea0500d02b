package kcatformat_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/internal/kcatformat"
)

var record = kcatformat.Record{
	Topic: "orders", Partition: 3, Offset: 42, TimestampMs: 1700000000000, Key: []byte("k"), Value: []byte("value"),
	Headers: []kcatformat.Header{{"a", []byte("1")}, {"b", nil}},
}

func TestFormat(t *testing.T) {
	null := kcatformat.Record{Topic: "t", Key: nil, Value: []byte{}}
	for _, c := range []struct {
		format string
		record *kcatformat.Record
		want   string
	}{
		{`%s\n`, &record, "value\n"},
		{`%t[%p]@%o %T %K:%k=%S:%s %h%%\x41\\`, &record, `orders[3]@42 1700000000000 1:k=5:value a=1,b=NULL%A\`},
		{`%R`, &record, "\x00\x00\x00\x05"},
		{`%K %S`, &null, "-1 0"},
		{"", &record, ""},
	} {
		f, err := kcatformat.Parse(c.format)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.Append(nil, c.record, nil)); got != c.want {
			t.Errorf("%q: %q, want %q", c.format, got, c.want)
		}
	}
	for _, bad := range []string{"%", `\`, "%x", `\q`, `\x1`, `\xgg`} {
		if _, err := kcatformat.Parse(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestJSON(t *testing.T) {
	binary := kcatformat.Record{Topic: "t", LogAppend: true, Key: []byte("\xff"), Headers: []kcatformat.Header{{"\xfe", nil}}}
	for want, r := range map[string]*kcatformat.Record{
		`{"topic":"orders","partition":3,"offset":42,"tstype":"create","ts":1700000000000,"headers":["a","1","b",null],"key":"k","payload":"value"}` + "\n":      &record,
		`{"topic":"t","partition":0,"offset":0,"tstype":"logappend","ts":0,"headers_base64":["/g==",null],"key":null,"key_base64":"/w==","payload":null}` + "\n": &binary,
	} {
		got, err := kcatformat.AppendJSON(nil, r)
		if d := cmp.Diff(want, string(got)); err != nil || d != "" {
			t.Errorf("%v (-want +got)\n%s", err, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`%s\n`)
	f.Add(`%t %k\x00%%`)
	f.Fuzz(func(t *testing.T, text string) {
		format, err := kcatformat.Parse(text)
		if err == nil {
			format.Append(nil, &record, nil)
		}
	})
}
