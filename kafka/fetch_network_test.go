package kafka

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/recordbatch"
)

var networkSeed = flag.Uint64("network-seed", 0, "repeat TestFetchThroughABadNetwork; 0 takes a new seed")

// checkedFrom is where a batch begins to be under its checksum, nearly: base offset, length and leader epoch
// are not. A bit that is flipped there cannot be seen where another value would fit as well.
const checkedFrom = 16

// TestFetchThroughABadNetwork: answers are cut, come twice, and have bits of their batches flipped. What
// is handed on is what the broker has, all of it, and nothing else.
func TestFetchThroughABadNetwork(t *testing.T) {
	seed := *networkSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with -network-seed %d", seed)
		}
	})
	random := rand.New(rand.NewPCG(seed, 0))
	c := startFake(t)
	plan := c.filled(t, 4, 20)
	want := fetch(t, c.Client, plan...)
	var batches [][]byte
	for i := range plan {
		for rest := want.bytes(plan[i].TopicPartition); len(rest) > 0; {
			b, after, err := recordbatch.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			batches, rest = append(batches, b), after
		}
	}
	done := map[string]int{}
	c.wire.spoilAnswers(func(key kmsg.Key, answer []byte) ([]byte, bool) {
		if key != kmsg.Fetch || random.IntN(2) == 0 {
			return answer, false
		}
		switch random.IntN(4) {
		case 0:
			done["cut"]++
			return answer[:random.IntN(len(answer))], true
		case 1:
			done["doubled"]++
			return append(bytes.Clone(answer), answer...), false
		}
		spoiled := bytes.Clone(answer)
		for _, i := range random.Perm(len(batches)) {
			if at := bytes.Index(spoiled, batches[i]); at >= 0 {
				done["flipped"]++
				spoiled[at+checkedFrom+random.IntN(len(batches[i])-checkedFrom)] ^= 1 << random.IntN(8)
				break
			}
		}
		return spoiled, false
	})
	for range 15 {
		got := fetch(t, connect(t, c.addrs, time.Minute), plan...)
		for i := range plan {
			tp := plan[i].TopicPartition
			if !bytes.Equal(got.bytes(tp), want.bytes(tp)) {
				t.Fatalf("%s: %q, %v; the clean network gave %q", tp, got.story(tp), got.failure(tp), want.story(tp))
			}
		}
	}
	t.Logf("answers: %v", done)
	for _, how := range []string{"cut", "doubled", "flipped"} {
		if done[how] == 0 {
			t.Errorf("no answer was %s: the test proves nothing", how)
		}
	}
}
