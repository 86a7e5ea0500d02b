package format

import (
	"testing"

	"coldstream"
)

func testLabel() *Label {
	return &Label{AddedMs: testTime, Name: "backup host 2", Recipient: "age1recipient", CatalogOnly: true}
}

func againLabel(b []byte) ([]byte, error) {
	l, err := DecodeLabel(b)
	if err != nil {
		return nil, err
	}
	return reencoded(l.Append(nil))
}

func labelVectors() []vector {
	encode := func(t *testing.T) []byte {
		b, err := testLabel().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return []vector{{file: "label-of-a-host.bin", versionAt: 4, encode: encode, again: againLabel}}
}

func TestLabelRejections(t *testing.T) {
	checkRejections(t, testLabel, func(l *Label) error { _, err := l.Append(nil); return err }, []rejection[*Label]{
		{"without a name", func(l *Label) { l.Name = "" }, coldstream.ErrCorrupt, "label of nobody"},
		{"without a recipient", func(l *Label) { l.Recipient = "" }, coldstream.ErrCorrupt, "label of nobody"},
	})
}
