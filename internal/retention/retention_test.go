package retention_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream/internal/retention"
)

func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, time.UTC)
	if err != nil {
		panic(err)
	}
	return t
}

func decide(p retention.Policy, now string, snapshots ...string) string {
	var in []retention.Snapshot
	for _, s := range snapshots {
		when, topics, _ := strings.Cut(s, " | ")
		in = append(in, retention.Snapshot{Time: at(when), ClusterID: "c", Topics: strings.Fields(topics)})
	}
	var out []string
	for i, d := range retention.Decide(p, in, at(now)) {
		reasons := strings.Join(d.Reasons, "+")
		if d.Future {
			reasons = "future"
		}
		if d.Keep() {
			out = append(out, fmt.Sprintf("%d:%s", i, reasons))
		}
	}
	return strings.Join(out, " ")
}

func TestDecide(t *testing.T) {
	days := []string{"2026-11-27 03:00 | a", "2026-11-28 03:00 | a", "2026-11-28 15:00 | a", "2026-11-29 03:00 | a", "2026-11-30 03:00 | a"}
	for _, c := range []struct {
		name      string
		policy    retention.Policy
		snapshots []string
		want      string
	}{
		{"nothing kept", retention.Policy{}, days, ""},
		{"last", retention.Policy{Last: 2}, days, "3:last 4:last"},
		{"the newest of a day", retention.Policy{Daily: 3}, days, "2:daily 3:daily 4:daily"},
		{"more rules than one", retention.Policy{Last: 1, Daily: 2, Monthly: 5}, days, "3:daily 4:daily+last+monthly"},
		{"days without a snapshot do not count", retention.Policy{Daily: 2}, []string{"2026-10-01 03:00 | a", "2026-11-30 03:00 | a"}, "0:daily 1:daily"},
		{"weeks are those of ISO", retention.Policy{Weekly: 2}, []string{"2026-11-29 03:00 | a", "2026-11-30 03:00 | a", "2026-11-30 04:00 | a"}, "0:weekly 2:weekly"},
		{"within", retention.Policy{Within: 36 * time.Hour}, days, "2:within 3:within 4:within"},
		{"a partial snapshot pushes no full one out", retention.Policy{Last: 1}, []string{"2026-11-28 03:00 | a b", "2026-11-29 03:00 | a"}, "0:last 1:last"},
		{"a future one pushes none out and stays", retention.Policy{Last: 1}, []string{"2026-11-28 03:00 | a", "2099-11-29 03:00 | a"}, "0:last 1:future"},
		{"which is newer is their order's to say", retention.Policy{Last: 1}, []string{"2026-11-29 03:00 | a", "2026-11-28 03:00 | a"}, "1:last"},
		{"no topics at all", retention.Policy{Last: 1}, []string{"2026-11-28 03:00", "2026-11-29 03:00"}, "1:last"},
	} {
		if got := decide(c.policy, "2026-11-30 12:00", c.snapshots...); got != c.want {
			t.Errorf("%s: kept %q, want %q", c.name, got, c.want)
		}
	}
}

// Whatever the policy, the newest real snapshot of each topic stays, a larger number keeps
// no less, and a topic's snapshots are decided as if it were alone.
func TestDecideByChance(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := at("2026-11-30 12:00")
		var all []retention.Snapshot
		for range r.IntN(40) {
			s := retention.Snapshot{Time: now.Add(-time.Duration(r.Int64N(int64(400 * 24 * time.Hour)))), ClusterID: fmt.Sprint(r.IntN(2))}
			for _, topic := range []string{"a", "b", "c"} {
				if r.IntN(2) == 0 {
					s.Topics = append(s.Topics, topic)
				}
			}
			all = append(all, s)
		}
		slices.SortFunc(all, func(a, b retention.Snapshot) int { return a.Time.Compare(b.Time) })
		p := retention.Policy{Last: r.IntN(3), Hourly: r.IntN(3), Daily: r.IntN(4), Weekly: r.IntN(3), Monthly: r.IntN(3), Yearly: r.IntN(2)}
		kept := retention.Decide(p, all, now)
		more := p
		more.Daily++
		for i, d := range retention.Decide(more, all, now) {
			if kept[i].Keep() && !d.Keep() {
				t.Errorf("seed %d: one more day keeps less", seed)
			}
		}
		if p.IsZero() {
			continue
		}
		newest := map[string]int{}
		for i, s := range all {
			for _, topic := range s.Topics {
				newest[s.ClusterID+topic] = i
			}
		}
		for _, i := range newest {
			if !kept[i].Keep() {
				t.Errorf("seed %d: the newest snapshot of a topic goes: %s", seed, cmp.Diff(kept, all))
			}
		}
	}
}
