package vault

import (
	"testing"
	"time"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/internal/retention"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// TestCare lets some days go by in which a process saves two topics each hour, with a forget after each and a
// prune each day; TestYearOfCare a year.
func TestCare(t *testing.T) { careFor(t, 12) }

// careFor proves after each prune that the vault's size follows what is kept, and that nothing is left over.
func careFor(t *testing.T, days int) {
	const retentionHours = 72
	policy := retention.Policy{Hourly: 24, Daily: 7}
	k := newKit(t, mem.New())
	w := k.writer()
	streams := []coldstream.Stream{stream("invoices", 0), stream("orders", 0)}
	worst := 0.0
	for hour := range days * 24 {
		now := testTime.Add(time.Duration(hour) * time.Hour)
		c := Changes{AsOf: now}
		var views []View
		for _, s := range streams {
			if hour == 0 {
				c.Scans = append(c.Scans, begin(s, 0)...)
			}
			at := int64(hour)
			c.Data = append(c.Data, data(s, Piece{FirstOffset: at, NextOffset: at + 1, Batches: noise(t, at)})...)
			views = append(views, View{Stream: s, LogStartOffset: max(0, at+1-retentionHours), NextOffset: at + 1, LastEpoch: 1})
		}
		c.Snapshot = snapshotOf(views...)
		c.Snapshot.Time = now
		k.commit(w, c)
		k.turnWith(TurnOptions{Forget: k.forgotten(policy, now)})
		if hour%24 != 23 {
			continue
		}
		for range 3 {
			k.turnWith(TurnOptions{Release: true})
		}
		worst = max(worst, k.mustFollow(t))
	}
	k.mustBeSound()
	c := k.catalog()
	usage, err := k.vault.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d days: %d snapshots, %d epochs, %d objects with %d bytes, at most %.1f %% more than what is kept", days, len(c.Snapshots()), c.epoch, usage.Objects, usage.Bytes, 100*worst)
	if got := len(c.Snapshots()); got > 32 || got < 24 {
		t.Errorf("%d snapshots are kept", got)
	}
}

// noise is a batch that does not compress.
func noise(t *testing.T, offset int64) []byte {
	value := make([]byte, 40_000)
	state := uint64(offset)*2654435761 + 1
	for i := range value {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		value[i] = byte(state)
	}
	b, err := recordbatch.Build([]recordbatch.Absolute{{Offset: offset, TimestampMs: 1, Value: value}}, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	return inLog(b, offset, 1)
}

// forgotten says which snapshots a policy does not keep.
func (k *kit) forgotten(policy retention.Policy, now time.Time) func(*Snapshot) bool {
	all := k.catalog().Snapshots()
	in := make([]retention.Snapshot, len(all))
	for i := range all {
		in[i] = retention.Snapshot{Time: all[i].Time, ClusterID: all[i].ClusterID, Topics: []string{"invoices", "orders"}}
	}
	goes := map[SnapshotID]bool{}
	for i, d := range retention.Decide(policy, in, now) {
		goes[all[i].ID] = !d.Keep()
	}
	return func(s *Snapshot) bool { return goes[s.ID] }
}

// mustFollow proves that packs take at most a tenth more than what snapshots show, that each is needed, and that
// of everything else there is only what the newest two epochs name. It returns how much more there is.
func (k *kit) mustFollow(t *testing.T) float64 {
	t.Helper()
	lowest := map[coldstream.Stream]View{}
	c := k.catalog()
	for _, s := range c.Snapshots() {
		for _, v := range k.views(s) {
			low, known := lowest[v.Stream]
			if !known || v.LogStartOffset < low.LogStartOffset {
				low.LogStartOffset = v.LogStartOffset
			}
			low.NextOffset = max(low.NextOffset, v.NextOffset)
			lowest[v.Stream] = low
		}
	}
	var kept int64
	for _, v := range lowest {
		kept += (v.NextOffset - v.LogStartOffset) * int64(len(noise(t, 0)))
	}
	usage, err := k.vault.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more := float64(usage.Bytes-kept) / float64(kept)
	if more < 0 || more > 0.1 {
		t.Errorf("the vault takes %d bytes, and what is kept %d", usage.Bytes, kept)
	}
	needed := map[string]bool{}
	k.eachFacts(func(f *format.Facts) {
		for i := range f.Packs {
			needed[f.Packs[i].ID.Key()] = true
		}
	})
	for _, key := range keys(t, k.store, format.PacksPrefix) {
		if !needed[key] {
			t.Errorf("left over: %s", key)
		}
	}
	for _, key := range keys(t, k.store, format.AllCommits) {
		if id, err := format.ParseCommitKey(key); err != nil || id.Epoch+1 < c.epoch {
			t.Errorf("left over: %s in epoch %d", key, c.epoch)
		}
	}
	if tables := len(keys(t, k.store, format.TablesPrefix)); tables > 200 {
		t.Errorf("%d tables, chapters and sections", tables)
	}
	return more
}
