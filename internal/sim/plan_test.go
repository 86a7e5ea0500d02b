package sim_test

import (
	"fmt"

	"coldstream"
	"coldstream/internal/sim"
	"coldstream/vault"
)

// planner is what a backup knows when it decides what to commit.
type planner struct {
	*world
	writer   *vault.Writer
	owns     func(i int) bool // the logs that it fetches; of others it shows what is there
	changes  vault.Changes
	snapshot *vault.NewSnapshot
}

// plan is what a backup would commit now: what its logs hold behind the writer's heads, or
// a part of it, and a snapshot of all.
func (w *world) plan(writer *vault.Writer, owns func(i int) bool) vault.Changes {
	p := planner{world: w, writer: writer, owns: owns, snapshot: &vault.NewSnapshot{
		Time: w.clock(), ClusterID: "cluster-1", Metadata: vault.Metadata{
			Cluster: coldstream.Cluster{ID: "cluster-1"},
			Topics: []coldstream.Topic{ // sections come and go
				{Name: "orders", Partitions: []coldstream.Partition{{Leader: -1, LeaderEpoch: -1}}},
				{Name: fmt.Sprintf("other-%d", w.sched.Rand.IntN(4)), Partitions: []coldstream.Partition{{Leader: -1, LeaderEpoch: -1}}},
			},
		},
	}}
	for i, l := range w.logs {
		if owns(i) {
			p.fetch(l)
		} else {
			p.show(l)
		}
	}
	if w.sched.Chance(.67) {
		p.changes.Snapshot = p.snapshot
	}
	return p.changes
}

func everything(int) bool { return true }

// fetch goes on where the vault stands, or reads the log again from its start.
func (p *planner) fetch(l *partitionLog) {
	at := l.logStart
	head, known := p.writer.Head(l.stream)
	scan, floor, isNew := head.Scan, head.Floor, !known
	switch {
	case known && p.rescans && p.sched.Chance(.04):
		p.sched.Count(readAgain)
		scan, floor, isNew = head.Scan+1, 0, true
	case known:
		if at = min(head.NextOffset, l.common(head)); at < l.logStart {
			p.changes.Gaps = append(p.changes.Gaps, vault.StreamGap{
				Stream: l.stream, Scan: scan, FirstOffset: at, NextOffset: l.logStart, Cause: coldstream.GapLogStartAdvanced,
			})
			at = l.logStart
		}
	}
	if isNew {
		p.changes.Scans = append(p.changes.Scans, vault.ScanStart{Stream: l.stream, Scan: scan, FirstOffset: at, Started: p.now()})
	}
	data := vault.StreamData{Stream: l.stream, Scan: scan}
	for at < l.next && p.sched.Rand.IntN(4) > 0 {
		piece := l.fetch(at, p.sched.Rand)
		data.Pieces, at = append(data.Pieces, piece), piece.NextOffset
	}
	if len(data.Pieces) > 0 {
		p.changes.Data = append(p.changes.Data, data)
	}
	if known && scan > head.Scan && at < l.next {
		p.show(l) // the new scan is not complete
		return
	}
	// What was released cannot be shown, although the log may have it still.
	start := max(l.logStart, floor)
	p.view(l, vault.View{Scan: scan, LogStartOffset: start, NextOffset: max(at, start)})
}

// show is a view of what is there already.
func (p *planner) show(l *partitionLog) {
	head, known := p.writer.Head(l.stream)
	if !known {
		return
	}
	start, next := max(l.logStart, head.Floor), min(head.NextOffset, l.common(head))
	if next < start {
		return // the log has gone on
	}
	p.view(l, vault.View{Scan: head.Scan, LogStartOffset: start, NextOffset: next})
}

func (p *planner) view(l *partitionLog, view vault.View) {
	view.Stream, view.LastEpoch = l.stream, l.lastEpoch(view.NextOffset)
	p.snapshot.Views = append(p.snapshot.Views, view)
}

// attempt notes what the changes' snapshot must show, if it is ever seen.
func (w *world) attempt(changes *vault.Changes) {
	if changes.Snapshot == nil {
		return
	}
	shot := map[coldstream.Stream][]byte{}
	scans := map[uint32]bool{}
	for _, view := range changes.Snapshot.Views {
		shot[view.Stream] = w.logs[view.Stream.Partition].in(view.LogStartOffset, view.NextOffset)
		scans[view.Scan] = true
	}
	w.shots[changes.Snapshot.Time] = shot
	if len(scans) > 1 {
		w.sched.Count(severalScans)
	}
}

// hands gives a stream to the other owner now and then.
func (w *world) hands() {
	if w.sched.Chance(.02) {
		i := w.sched.Rand.IntN(len(w.owners))
		w.owners[i] = 1 - w.owners[i]
		w.handed++
	}
}

// owner is a backup process that commits the streams that are its own: who takes one over
// folds afresh, while the one before may not be done.
func (w *world) owner(me int) func(p *sim.Proc) {
	return func(p *sim.Proc) {
		known := -1
		w.saves(p, func(i int) bool { return w.owners[i] == me }, func() bool {
			changed := known >= 0 && known != w.handed
			if known = w.handed; changed {
				w.sched.Count(handedOver)
			}
			return changed
		})
	}
}

// shows is a process that takes snapshots of what others save.
func (w *world) shows(p *sim.Proc) {
	w.saves(p, func(int) bool { return false }, func() bool { return w.sched.Chance(.5) })
}
