package format

import (
	"errors"
	"math"
	"testing"

	"coldstream"
)

func TestKeys(t *testing.T) {
	for want, got := range map[string]string{
		"packs/0000000004/0199c82cc000010203040506/0000000005":   PackID{4, testWriter, 5}.Key(),
		"commits/4294967295/0199c82cc000010203040506/4294967295": CommitID{math.MaxUint32, testWriter, math.MaxUint32}.Key(),
		"commits/0000000004/":     CommitsPrefix(4),
		"epochs/0000000004/begun": BegunKey(4),
		"epochs/0000000004/base":  BaseKey(4),
		"tables/0000000004/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": TableID{4, HashOf(nil)}.Key(),
		"restores/00000000000000ff/0000000002":                                               RestoreKey(RestoreID{7: 0xff}, 2),
		"damaged/0000000004/0199c82cc000010203040506/0000000005/all":                         Mark{PackID{4, testWriter, 5}, WholePack}.Key(),
		"damaged/0000000004/0199c82cc000010203040506/0000000005/0000000083":                  Mark{PackID{4, testWriter, 5}, 83}.Key(),
		"damaged/0000000000/000000000000000000000000/0000000000/9223372036854775807":         Mark{PackID{}, math.MaxInt64}.Key(),
		"00112233445566778899aabbccddeeff":                                                   testVault.String(),
		"cafe000000000001":                                                                   testSnapshot(0).ID.String(),
		"000000000000000000000000":                                                           Writer{}.String(),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":                   HashOf(nil).String(),
		"packs/0000000000/000000000000000000000000/0000000000":                               PackID{}.Key(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParsedKeysAreTheSame(t *testing.T) {
	random := newRand(t)
	for range 1000 {
		var w Writer
		for i := range w {
			w[i] = byte(random.Uint32())
		}
		pack, commit := PackID{random.Uint32(), w, random.Uint32()}, CommitID{random.Uint32(), w, random.Uint32()}
		if got, err := ParsePackKey(pack.Key()); err != nil || got != pack {
			t.Errorf("%s: got %+v, %v", pack.Key(), got, err)
		}
		if got, err := ParseCommitKey(commit.Key()); err != nil || got != commit {
			t.Errorf("%s: got %+v, %v", commit.Key(), got, err)
		}
		other := PackID{pack.Epoch, w, random.Uint32()}
		if (pack.Compare(other) < 0) != (pack.Key() < other.Key()) {
			t.Errorf("%s and %s: keys are in another order than IDs", pack.Key(), other.Key())
		}
		for _, start := range []int64{WholePack, 0, int64(pack.Number), random.Int64()} {
			mark := Mark{pack, start}
			if got, err := ParseMarkKey(mark.Key()); err != nil || got != mark {
				t.Errorf("%s: got %+v, %v", mark.Key(), got, err)
			}
		}
		table := TableID{pack.Epoch, HashOf(w[:])}
		if got, err := ParseTableKey(table.Key()); err != nil || got != table {
			t.Errorf("%s: got %+v, %v", table.Key(), got, err)
		}
		id := RestoreID(w[:8])
		if got, n, err := ParseRestoreKey(RestoreKey(id, pack.Number)); err != nil || got != id || n != pack.Number {
			t.Errorf("record %d of %s: got %s, %d, %v", pack.Number, id, got, n, err)
		}
		for key, begun := range map[string]bool{BegunKey(pack.Epoch): true, BaseKey(pack.Epoch): false} {
			epoch, isBegun, err := ParseEpochKey(key)
			if err != nil || epoch != pack.Epoch || isBegun != begun {
				t.Errorf("%s: got %d, %v, %v", key, epoch, isBegun, err)
			}
		}
	}
}

// badKeys are keys that mean nothing, or that are not the one way to write what they mean.
func badKeys() []string {
	return []string{
		"", "/", "packs/", "packs/0000000000", "packs/0000000000/000000000000000000000000",
		"packs/0000000000/000000000000000000000000/0000000000/", "packs/0000000000/000000000000000000000000/0000000000/x",
		"packs/000000000/000000000000000000000000/0000000000", "packs/00000000000/000000000000000000000000/0000000000",
		"packs/4294967296/000000000000000000000000/0000000000", "packs/-000000001/000000000000000000000000/0000000000",
		"packs/+000000001/000000000000000000000000/0000000000", "packs/0000000000/00000000000000000000000/0000000000",
		"packs/0000000000/0000000000000000000000000/0000000000", "packs/0000000000/ABCDEF000000000000000000/0000000000",
		"packs/0000000000/00000000000000000000000g/0000000000", "packs/0000000000/000000000000000000000000/00000000 0",
		"0000000000/000000000000000000000000/0000000000", "/packs/0000000000/000000000000000000000000/0000000000",
		"epochs/0/begun", "epochs/0000000000/begun/", "epochs/0000000000/other", "epochs/0000000000", "epochs//begun", "begun",
		"epochs/0000000000/Base", "tables/0000000000", "tables/0000000000/", "tables/0000000000/00", "restores/0000000000000000", "restores/0/0", "0000000000/base", "epochs/4294967296/base",
		"damaged/", "damaged/all", "damaged/0000000000/000000000000000000000000/all", "damaged/0000000000/000000000000000000000000/0000000000",
		"damaged/0000000000/000000000000000000000000/0000000000/", "damaged/0000000000/000000000000000000000000/0000000000/All",
		"damaged/0000000000/000000000000000000000000/0000000000/all/", "damaged/0000000000/000000000000000000000000/0000000000/0",
		"damaged/0000000000/000000000000000000000000/0000000000/00000000000", "damaged/0000000000/000000000000000000000000/0000000000/-000000001",
		"damaged/0000000000/000000000000000000000000/0000000000/9223372036854775808", "packs/0000000000/000000000000000000000000/0000000000/all",
	}
}

func TestKeysThatMeanNothing(t *testing.T) {
	for _, key := range badKeys() {
		if id, err := ParsePackKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("pack %q: %+v, error %v, want ErrCorrupt", key, id, err)
		}
		if id, err := ParseCommitKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("commit %q: %+v, error %v, want ErrCorrupt", key, id, err)
		}
		if id, err := ParseTableKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("table %q: %+v, error %v, want ErrCorrupt", key, id, err)
		}
		if id, n, err := ParseRestoreKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("record %q: %s, %d, error %v, want ErrCorrupt", key, id, n, err)
		}
		if mark, err := ParseMarkKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("mark %q: %+v, error %v, want ErrCorrupt", key, mark, err)
		}
		if epoch, _, err := ParseEpochKey(key); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("epoch %q: %d, error %v, want ErrCorrupt", key, epoch, err)
		}
	}
	if _, err := ParseCommitKey(PackID{}.Key()); err == nil {
		t.Error("a pack's key was taken for a commit's")
	}
}
