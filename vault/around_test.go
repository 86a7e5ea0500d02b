package vault

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob/mem"
)

// TestHealingAroundFrames: a pack whose header or index is altered costs no offsets, which
// verify says. What is in it is fetched again nevertheless, so that nobody needs it.
func TestHealingAroundFrames(t *testing.T) {
	for name, at := range map[string]func(size int) int{
		"header": func(int) int { return 3 }, "vault ID": func(int) int { return 20 },
		"index": func(size int) int { return size - 60 }, "length of the index": func(size int) int { return size - 2 },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, mem.New())
			s := stream("orders", 0)
			k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 12, LastEpoch: 1})})
			pack := k.packIDs()[0]
			b := body(t, k.store, pack.Key())
			b[at(len(b))] ^= 1
			replace(t, k.store, pack.Key(), b)
			if problems := k.verify(VerifyOptions{}).Problems; len(problems) > 0 {
				t.Errorf("verify reads it although nothing is marked: %v", problems)
			}
			for _, deep := range []bool{true, false} { // the first marks it
				problems := k.verify(VerifyOptions{Deep: deep}).Problems
				if len(problems) != 1 || problems[0].Object != pack.Key() || problems[0].NextOffset > 0 || !errors.Is(problems[0], errAround) {
					t.Errorf("verify, deep %v: %v", deep, problems)
				}
			}
			if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 12, LastEpoch: 1})[0], 0); got != "0-2@1 3-5@1 6-8@1 9-11@1" || damage != nil {
				t.Errorf("read %s, %v", got, damage)
			}
			if diff := cmp.Diff([]string{pack.Key() + " altered orders-0 [0, 12)"}, k.losses()); diff != "" {
				t.Errorf("losses: -want +got\n%s", diff)
			}
			k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1))})
			k.says("healed", []string{})
		})
	}
}
