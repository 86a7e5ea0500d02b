package coldstream

import "time"

// Observer is told what an engine does. Observe returns at once and is safe for use by
// several goroutines.
type Observer interface{ Observe(Event) }

// Event is one of the typed events of this package: [*Planned], [*Progress],
// [*Detail], [*Warning], [*Notice], [*Waiting], and those of a continuous backup:
// [*TopicFound], [*TopicGone], [*PartitionTrouble], [*PartitionWell], [*Outage],
// [*OutageOver], [*Committed], [*SnapshotMade], [*GapFound], [*ForkFound],
// [*ReadAgain], [*DamageFound], [*WriterSeen].
type Event interface{ event() }

// Planned says how much work lies ahead. Offsets are a count of offsets, not of records.
type Planned struct {
	Activity   string // backup, restore, verify
	Topics     int
	Partitions int
	Offsets    int64
	Bytes      int64 // 0 if unknown
}

// Progress says how much was done since the last Progress: its fields are increments.
type Progress struct {
	Activity   string
	Offsets    int64
	Records    int64
	Bytes      int64
	Stored     int64 // bytes of objects made
	Partitions int   // partitions that ended
}

// Detail is a line for those who want to follow closely.
type Detail struct{ Text string }

// Warning is something a person should read; Hint, if any, says what to do.
type Warning struct {
	Text string
	Hint string
}

// Notice is something to keep for later: lines that a person may have to type.
type Notice struct {
	Text  string
	Lines []string
}

// Waiting says that something takes longer than it should, and is waited for. It comes
// again now and then while that lasts.
type Waiting struct {
	For     string // a noun: what is waited for
	Cause   string // what stands in the way, as far as it is known; else ""
	Elapsed time.Duration
	AtMost  time.Duration // how long it is waited for in all; 0 if that has no bound
}

func (*Planned) event()  {}
func (*Progress) event() {}
func (*Detail) event()   {}
func (*Warning) event()  {}
func (*Notice) event()   {}
func (*Waiting) event()  {}

// NoObserver takes events and forgets them.
type NoObserver struct{}

// Observe does nothing.
func (NoObserver) Observe(Event) {}
