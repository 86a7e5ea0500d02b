package format

import (
	"errors"
	"testing"

	"coldstream"
)

func testAcceptance() *Acceptance {
	return &Acceptance{
		TimeMs: testTime, Object: testPackID.Key(), Kind: "altered",
		Incarnation: testIncarnations()[0], Partition: 7, FirstOffset: 100, NextOffset: 230,
	}
}

func againAcceptance(b []byte) ([]byte, error) {
	a, err := DecodeAcceptance(b)
	if err != nil {
		return nil, err
	}
	return reencoded(a.Append(nil))
}

func acceptanceVectors() []vector {
	encode := func(a *Acceptance) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := a.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	return []vector{
		{file: "acceptance-of-offsets.bin", versionAt: 4, encode: encode(testAcceptance()), again: againAcceptance},
		{file: "acceptance-of-an-object.bin", versionAt: 4, encode: encode(&Acceptance{TimeMs: testTime, Object: "epochs/0000000001/base", Kind: "missing"}), again: againAcceptance},
	}
}

func TestAcceptanceRejections(t *testing.T) {
	type a = Acceptance
	checkRejections(t, testAcceptance, func(a *Acceptance) error { _, err := a.Append(nil); return err }, []rejection[*Acceptance]{
		{"of no object", func(a *a) { a.Object = "" }, coldstream.ErrCorrupt, `acceptance of object ""`},
		{"of no kind", func(a *a) { a.Kind = "" }, coldstream.ErrCorrupt, `that is ""`},
		{"of a range that ends too late", func(a *a) { a.FirstOffset, a.NextOffset = 1<<62, -1<<63 }, coldstream.ErrCorrupt, "offsets"},
		{"of a partition below 0", func(a *a) { a.Partition = -1 }, coldstream.ErrCorrupt, "too large"},
	})
}

// TestAcceptanceID: the name of a loss does not say when it was accepted, and says all else.
func TestAcceptanceID(t *testing.T) {
	want := testAcceptance().ID()
	later := testAcceptance()
	later.TimeMs++
	if later.ID() != want {
		t.Error("it is another one a moment later")
	}
	for name, change := range map[string]func(*Acceptance){
		"object": func(a *Acceptance) { a.Object += "0" }, "kind": func(a *Acceptance) { a.Kind = "missing" },
		"incarnation": func(a *Acceptance) { a.Incarnation.TopicID[3]++ }, "partition": func(a *Acceptance) { a.Partition++ },
		"first offset": func(a *Acceptance) { a.FirstOffset++ }, "next offset": func(a *Acceptance) { a.NextOffset++ },
	} {
		a := testAcceptance()
		if change(a); a.ID() == want {
			t.Errorf("another %s has the same name", name)
		}
	}
	if id, err := ParseAcceptanceKey(AcceptanceKey(want)); err != nil || id != want {
		t.Errorf("key %s is read as %s, error %v", AcceptanceKey(want), id, err)
	}
	for _, key := range []string{"", "accepted/", "accepted/0011", AcceptanceKey(want) + "0", AcceptanceKey(want) + "/1", "accepted/00112233445566AA"} {
		if _, err := ParseAcceptanceKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%q: error %v", key, err)
		}
	}
}
