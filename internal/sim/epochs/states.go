package epochs

import "slices"

// State is something rare that a schedule may reach. A run that never reached one of
// them has not tried the rule behind it.
type State int

// The states.
const (
	LostWonBase State = iota
	BaseTaken
	BaseByOther
	BaseAgain
	WaitedForBase
	WaitedForDead
	OpenedAgain
	LeftOut
	SharedTable
	Compacted
	PlanKept
	PlanDropped
	NotConfirmed
	CrashBeforeCommit
	CrashInTurn
	CrashInGarbage
	ZombieCommit
	LateBase
	LateCommit
	HoldDuringTurn
	RestoreRefused
	RestoreDone
	ReadDone
	ObjectMissed
	ForgottenMeanwhile
	GapFound
	StoredTwice
	ReleasedPending
	PackedAgain
	SectionAgain
	ViewReleased
	CommitsSwapped

	stateCount
)

// String says it in words.
func (s State) String() string {
	return [stateCount]string{
		LostWonBase:        "lost answer of a won base",
		BaseTaken:          "base taken by another",
		BaseByOther:        "missing base made by one who opened",
		BaseAgain:          "retired base made again",
		WaitedForBase:      "waited for the exclusive keeper's base",
		WaitedForDead:      "waited for what a dead keeper had asked for",
		OpenedAgain:        "opened again because the epoch turned",
		LeftOut:            "commit left out because it does not join",
		SharedTable:        "table shared with the base before",
		Compacted:          "rows replaced by compaction",
		PlanKept:           "compaction tried again after a lost base",
		PlanDropped:        "compaction too old after a lost base",
		NotConfirmed:       "no garbage collected because two more epochs had begun",
		CrashBeforeCommit:  "crash between pack and commit",
		CrashInTurn:        "crash between begun and base",
		CrashInGarbage:     "crash while deleting garbage",
		ZombieCommit:       "commit of an epoch three or more behind",
		LateBase:           "base of a dead process",
		LateCommit:         "commit of a dead process",
		HoldDuringTurn:     "hold written between begun and base",
		RestoreRefused:     "restore refused because its snapshot was forgotten",
		RestoreDone:        "restore done",
		ReadDone:           "reading without hold done",
		ObjectMissed:       "object gone under a reader",
		ForgottenMeanwhile: "snapshot forgotten under a reader without hold",
		GapFound:           "gap recorded",
		StoredTwice:        "offsets of one stream in two histories",
		ReleasedPending:    "released before its writer knew that it was saved",
		PackedAgain:        "pack too old for a commit, stored again",
		SectionAgain:       "section too old for a commit, stored again",
		ViewReleased:       "snapshot taken again because its view was released",
		CommitsSwapped:     "two commits in flight, the second stored first",
	}[s]
}

// Expected are the states that a run has to reach on a kind of store.
func Expected(kind StoreKind) []State {
	never := []State{WaitedForBase, WaitedForDead}
	if kind == Unconditional {
		// One keeper makes all bases, and leaves nothing in flight behind its successor's back.
		never = []State{BaseTaken, BaseAgain, NotConfirmed}
	}
	var out []State
	for s := range stateCount {
		if !slices.Contains(never, s) {
			out = append(out, s)
		}
	}
	return out
}
