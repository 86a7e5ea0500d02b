package sim_test

import (
	"bytes"
	"fmt"
	"strings"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/sim"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// compare reads a snapshot and holds it against what was there when it was taken. What
// was read before an error is what was there, too. The process that reads, if it is one,
// may have been shown damage.
func (w *world) compare(v *vault.Vault, s *vault.Snapshot, p *sim.Proc) error {
	ctx := w.Context()
	shot, ok := w.shots[s.Time]
	if !ok {
		return fmt.Errorf("nobody ever took snapshot %s of %v", s.ID, s.Time)
	}
	views, err := s.Views(ctx)
	if err != nil {
		return err
	}
	h, err := v.OpenHistory(ctx, views, vault.HistoryOptions{})
	if err != nil {
		return err
	}
	for _, stream := range h.Streams() {
		var got []byte
		var failed error
		for b, err := range stream.Batches(ctx, stream.View.LogStartOffset) {
			if failed = err; err != nil {
				break
			}
			got = append(got, b...)
		}
		want := shot[stream.View.Stream]
		if failed == nil && len(stream.Gaps) > 0 && (w.spoiled != "" || p != nil && p.Misread() > 0) {
			// A writer that does not see what another's commit holds, nor has it in the log,
			// records a gap. Who cannot read that commit sees only the gap.
			failed = fmt.Errorf("gaps %v: %w", stream.Gaps, coldstream.ErrCorrupt)
		}
		if strings.HasPrefix(w.spoiled, "commits/") {
			// A commit that cannot be read may be all that tells where an epoch begins. What an
			// older one wrote there, before the log lost its end, stands in its place then.
			if kept := withoutForks(got, want); len(kept) < len(got) {
				got, failed = kept, fmt.Errorf("batches of a fork: %w", coldstream.ErrCorrupt)
			}
		}
		if isWhole := len(stream.Gaps)+len(stream.Lost) == 0; !within(got, want) || failed == nil && !(bytes.Equal(got, want) && isWhole) {
			return fmt.Errorf("snapshot %s, %+v: got %s, want %s, gaps %v, lost %v, error %s",
				s.ID, stream.View, describe(got), describe(want), stream.Gaps, stream.Lost, fmt.Sprint(failed))
		}
		if failed != nil {
			return failed
		}
	}
	m, err := v.Metadata(ctx, s)
	if err != nil {
		return err
	}
	for _, d := range m.Damaged {
		return d
	}
	return nil
}

// within says that batches are some of those wanted, in their order.
func within(got, want []byte) bool {
	for len(got) > 0 {
		if len(want) == 0 {
			return false
		}
		g, gotRest, err := recordbatch.Next(got)
		if err != nil {
			return false
		}
		var b recordbatch.Batch
		if b, want, err = recordbatch.Next(want); err != nil {
			return false
		}
		if bytes.Equal(g, b) {
			got = gotRest
		}
	}
	return true
}

// withoutForks leaves out batches that an older leader epoch wrote than that of what is
// wanted at their offsets.
func withoutForks(got, want []byte) []byte {
	var out []byte
	for len(got) > 0 {
		b, rest, err := recordbatch.Next(got)
		if err != nil {
			return append(out, got...)
		}
		if !isOlder(b, want) {
			out = append(out, b...)
		}
		got = rest
	}
	return out
}

func isOlder(b recordbatch.Batch, want []byte) bool {
	for len(want) > 0 {
		w, rest, err := recordbatch.Next(want)
		if err != nil {
			return false
		}
		if w.BaseOffset() <= b.BaseOffset() && b.BaseOffset() <= w.LastOffset() {
			return b.LeaderEpoch() < w.LeaderEpoch()
		}
		want = rest
	}
	return false
}

func describe(batches []byte) string {
	out := "["
	for len(batches) > 0 {
		b, rest, _ := recordbatch.Next(batches)
		out += fmt.Sprintf(" %d-%d@%d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch())
		batches = rest
	}
	return out + " ]"
}

// judge looks when all is over, with code of its own for all but the vault's reading.
func (w *world) judge(store blob.Store) error {
	ctx := w.Context()
	v, err := vault.Open(ctx, store)
	if err != nil {
		return err
	}
	report, err := v.Verify(ctx, vault.VerifyOptions{Deep: true})
	if err != nil {
		return err
	}
	for _, problem := range report.Problems {
		return fmt.Errorf("verify: %w", problem)
	}
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	there := map[vault.SnapshotID]bool{}
	for _, s := range c.Snapshots() {
		there[s.ID] = true
		if err := w.compare(v, &s, nil); err != nil {
			return err
		}
		if !w.snapshots[s.ID] {
			w.sched.Count("snapshot there that nobody was told of")
		}
	}
	for id := range w.snapshots {
		if !there[id] && w.mayGo[id] && w.held[id] == 0 {
			w.sched.Count(snapshotGone)
			continue
		}
		if !there[id] {
			return fmt.Errorf("acknowledged snapshot %s is lost", id)
		}
	}
	if err := w.judgeOrder(c.Snapshots()); err != nil {
		return err
	}
	return w.judgeStreams(v)
}

// judgeOrder: a snapshot stands behind all that its writer saw when it opened the vault,
// whatever their clocks said.
func (w *world) judgeOrder(snapshots []vault.Snapshot) error {
	at := map[vault.SnapshotID]int{}
	for i := range snapshots {
		at[snapshots[i].ID] = i
	}
	for i := range snapshots {
		s := &snapshots[i]
		for _, before := range w.order[:w.behind[s.ID]] {
			if j, there := at[before]; there && j > i {
				return fmt.Errorf("snapshot %s of %v counts as newer than %s of %v, whose writer had seen it", before, snapshots[j].Time, s.ID, s.Time)
			}
		}
		if i > 0 && s.Time.Before(snapshots[i-1].Time) {
			w.sched.Count("snapshot behind one of a later time")
		}
	}
	return nil
}

// judgeStreams reads all that the vault holds of each stream. Every acknowledged batch is
// in its newest history, if it is in the log of that leader epoch, and in that of its own
// epoch in any case.
func (w *world) judgeStreams(v *vault.Vault) error {
	writer, err := v.NewWriter(w.Context(), vault.WriterOptions{Now: w.now})
	if err != nil {
		return err
	}
	for _, l := range w.logs {
		head, known := writer.Head(l.stream)
		if !known {
			continue
		}
		if head.Floor > 0 {
			w.sched.Count(rowsReleased)
		}
		j := streamJudge{world: w, vault: v, log: l, head: head, shown: map[vault.View]map[string]bool{}}
		if err := j.judge(); err != nil {
			return fmt.Errorf("%s: %w", l.stream.TopicPartition(), err)
		}
	}
	return nil
}

// streamJudge judges one stream.
type streamJudge struct {
	*world
	vault *vault.Vault
	log   *partitionLog
	head  vault.Head
	shown map[vault.View]map[string]bool // what was read already
}

func (j *streamJudge) judge() error {
	newest := vault.View{Stream: j.log.stream, Scan: j.head.Scan, LogStartOffset: j.head.Floor, NextOffset: j.head.NextOffset, LastEpoch: -1}
	if n := len(j.head.Epochs); n > 0 {
		newest.LastEpoch = j.head.Epochs[n-1].Epoch
	}
	got, err := j.read(newest)
	if err != nil {
		return err
	}
	line := j.log.lineOf(newest.LastEpoch)
	return j.eachPiece(func(scan uint32, b recordbatch.Batch) error {
		if scan < j.head.Scan {
			if j.turns {
				return nil // what of it no snapshot shows may be released
			}
			j.sched.Count(otherScan)
		} else {
			switch {
			case b.NextOffset() <= j.head.Floor || got[string(b)]:
				return nil
			case line[string(b)]:
				return fmt.Errorf("an acknowledged batch is lost: %s", describe(b))
			}
			j.sched.Count(twoHistories)
		}
		floor := map[bool]int64{true: j.head.Floor}[scan == j.head.Scan]
		own := vault.View{
			Stream: j.log.stream, Scan: scan, LogStartOffset: max(b.BaseOffset(), floor), NextOffset: b.NextOffset(), LastEpoch: b.LeaderEpoch(),
		}
		there, err := j.read(own)
		if err == nil && !there[string(b)] {
			err = fmt.Errorf("an acknowledged batch is not even in the history of its own epoch: %s of scan %d", describe(b), scan)
		}
		return err
	})
}

// eachPiece goes through the acknowledged batches of the stream.
func (j *streamJudge) eachPiece(do func(scan uint32, b recordbatch.Batch) error) error {
	for _, data := range j.pieces {
		for _, piece := range data.Pieces {
			for rest := piece.Batches; data.Stream == j.log.stream && len(rest) > 0; {
				var b recordbatch.Batch
				b, rest, _ = recordbatch.Next(rest)
				if err := do(data.Scan, b); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// read gives the batches that a view shows: each was in the log, and comes once.
func (j *streamJudge) read(view vault.View) (map[string]bool, error) {
	if got, ok := j.shown[view]; ok {
		return got, nil
	}
	h, err := j.vault.OpenHistory(j.Context(), []vault.View{view}, vault.HistoryOptions{})
	if err != nil {
		return nil, err
	}
	got := map[string]bool{}
	for b, err := range h.Streams()[0].Batches(j.Context(), view.LogStartOffset) {
		if err != nil {
			return nil, err
		}
		if !j.log.ever[string(b)] {
			return nil, fmt.Errorf("a batch that was never in the log: %s", describe(b))
		}
		if got[string(b)] {
			return nil, fmt.Errorf("a batch twice: %s", describe(b))
		}
		got[string(b)] = true
	}
	j.shown[view] = got
	return got, nil
}
