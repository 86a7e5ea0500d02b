package vault

import (
	"cmp"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// Pass is the newest view of a stream that went to the stream's end. For streams that a
// cleaner compacts it says how far that can be relied on.
type Pass struct {
	Scan       uint32
	NextOffset int64
	LastEpoch  int32
	// AsOf: of the tombstones that lie behind NextOffset and delete what lies before it, each
	// was in the log then or came later, and none that lies before was missed. It is zero
	// where that is not known.
	AsOf time.Time
	// Retention is how long the cleaner kept tombstones then.
	Retention time.Duration
}

// CompactedView says of a view of a [NewSnapshot] that a cleaner compacts its stream. AsOf
// and Retention are those of a [Pass].
type CompactedView struct {
	Stream    coldstream.Stream
	AsOf      time.Time
	Retention time.Duration
}

func (v *CompactedView) stored(view int) format.Pass {
	p := format.Pass{View: view, RetentionMs: max(v.Retention.Milliseconds(), 0)}
	if !v.AsOf.IsZero() {
		p.AsOfMs = v.AsOf.UnixMilli()
	}
	return p
}

// passState is the newest pass over a stream. The order of passes is total, so that it is the
// same in every order of commits: the highest scan, of that the highest next offset, and of
// these one in doubt before the latest as-of.
type passState struct {
	known      bool
	listed     bool // some commit said that the stream is compacted, or the base before lists it
	scan       uint32
	nextOffset int64
	lastEpoch  int32
	asOfMs     int64 // 0: in doubt
	retention  int64 // ms
}

// isNewer says that p is to stand instead of q.
func (p *passState) isNewer(q *passState) bool {
	if !q.known || p.scan != q.scan || p.nextOffset != q.nextOffset {
		return !q.known || cmp.Or(cmp.Compare(p.scan, q.scan), cmp.Compare(p.nextOffset, q.nextOffset)) > 0
	}
	if (p.asOfMs == 0) != (q.asOfMs == 0) {
		return p.asOfMs == 0
	}
	return cmp.Or(cmp.Compare(p.asOfMs, q.asOfMs), cmp.Compare(q.retention, p.retention), cmp.Compare(p.lastEpoch, q.lastEpoch)) > 0
}

// merge keeps the newer of two passes. That a stream is listed once lasts.
func (p *passState) merge(other passState) {
	listed := p.listed || other.listed
	if other.isNewer(p) {
		*p = other
	}
	p.listed = listed
}

// holes are where rows lack offsets: a cleaner took records away, and among them may have
// been tombstones that nobody has seen. Only what lies behind the newest pass counts.
type holes struct {
	nextOffset int64 // of the furthest row with some; 0 if there is none
	newestMs   int64 // the latest time at which a row with some was committed
}

func (h *holes) add(e extent) {
	h.nextOffset, h.newestMs = max(h.nextOffset, e.nextOffset), max(h.newestMs, e.commitMs)
}

// addPasses keeps what a snapshot of a commit that joined says of its streams.
func (c *Catalog) addPasses(facts *format.Facts, s *format.Snapshot) {
	passes := s.Passes
	for i := range s.Views {
		v := &s.Views[i]
		pass := passState{known: true, scan: v.Scan, nextOffset: v.NextOffset, lastEpoch: v.LastEpoch}
		if len(passes) > 0 && passes[0].View == i {
			pass.listed, pass.asOfMs, pass.retention = true, passes[0].AsOfMs, passes[0].RetentionMs
			passes = passes[1:]
		}
		if h := c.headAt(facts, v.Stream); h != nil {
			h.pass.merge(pass)
			h.forgetHoles()
		}
	}
}

// forgetHoles lets go of holes that the newest pass has seen.
func (h *headState) forgetHoles() {
	if h.pass.known && h.pass.scan == h.scan && h.holes.nextOffset <= h.pass.nextOffset {
		h.holes = holes{}
	}
}

// hasPassToKeep says that a base lists the stream's pass.
func (h *headState) hasPassToKeep() bool {
	return h.pass.known && (h.pass.listed || h.pass.scan != h.scan)
}

// storedPass is the pass as a base lists it. What a base does not keep are holes behind the
// pass: where there are some, it is in doubt from then on.
func (h *headState) storedPass(stream int) format.StreamPass {
	out := format.StreamPass{
		Stream: stream, Scan: h.pass.scan, NextOffset: h.pass.nextOffset, LastEpoch: h.pass.lastEpoch,
		AsOfMs: h.pass.asOfMs, RetentionMs: h.pass.retention,
	}
	if h.pass.scan == h.scan && h.holes.newestMs != 0 {
		out.AsOfMs = 0
	}
	return out
}

func passOf(p *format.StreamPass) passState {
	return passState{
		known: true, listed: true, scan: p.Scan, nextOffset: p.NextOffset, lastEpoch: p.LastEpoch,
		asOfMs: p.AsOfMs, retention: p.RetentionMs,
	}
}

// public is the pass as a writer's user sees it; nil if there is none.
func (p *passState) public() *Pass {
	if !p.known {
		return nil
	}
	return &Pass{
		Scan: p.scan, NextOffset: p.nextOffset, LastEpoch: p.lastEpoch,
		AsOf: timeOrZero(p.asOfMs), Retention: time.Duration(p.retention) * time.Millisecond,
	}
}

// timeOrZero is the zero time for 0.
func timeOrZero(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
