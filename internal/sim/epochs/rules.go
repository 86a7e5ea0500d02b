// Package epochs is the vault's protocol as a model: writers, keepers and readers that
// crash, sleep for epochs and go on, over a store in memory, and a judge who knows what
// was promised. Each rule of the protocol can be left out, and is needed.
//
// Modeled: streams whose logs grow and whose log starts move (gaps); writers that take
// over each other's streams, keep two commits in flight and store snapshots; keepers that
// forget, prune and compact; restores with a hold and readers without one; row tables and
// metadata sections that bases share. On a store without conditional create one exclusive
// keeper makes the bases. Not modeled: leader epochs and forks, scan numbers, encryption,
// signatures, archive policies, damage.
package epochs

import "fmt"

// Rule is a rule of the protocol, or a circumstance that may be left out likewise.
type Rule uint

// The rules. Without any of them something is lost.
const (
	// Look ends each opening, and each answer from what was opened: the newest begun
	// epoch is still this one, else open again.
	Look Rule = iota
	// Check is the writer's look for the next epoch after its commit, before it
	// acknowledges.
	Check
	// Order lists the commits of an epoch after the next one has begun.
	Order
	// Cond creates bases conditionally.
	Cond
	// Alone lets only the exclusive keeper make bases on a store without conditional
	// create; who opens waits for it.
	Alone
	// Wait lets a new exclusive keeper wait until nothing that a killed one had asked for
	// can still happen, before it makes the base of an epoch that was begun.
	Wait
	// Own deletes nothing before one's own base exists.
	Own
	// Confirm deletes nothing if two more epochs have begun by the time a base was
	// created: that base may have been there before, and be retired.
	Confirm
	// Begun never deletes the marks of epochs.
	Begun
	// Age spares packs and tables of the last two epochs.
	Age
	// Fresh lets a commit name only what its base names, and objects of its epoch and the
	// one before.
	Fresh
	// Key puts the epoch into the keys of tables and sections.
	Key
	// Redo makes the loser of a base plan again: it replaces rows only if all of them are
	// still there, and names new packs of the last epochs only.
	Redo
	// Tidy lets the loser of a base delete nothing.
	Tidy
	// Join leaves every commit out whole that does not join.
	Join
	// Covered counts released offsets as saved.
	Covered
	// View takes a snapshot again of which something was released.
	View
	// Late reads the holds after the epoch has begun.
	Late
	// Hold writes a restore's hold first, and opens then.
	Hold
	// Held spares what a hold names.
	Held

	ruleCount

	// Two is the circumstance that writers have two commits in flight.
	Two
	// Pages is the circumstance that listings come in pages.
	Pages
)

// Rules returns all of them, circumstances left out.
func Rules() []Rule {
	out := make([]Rule, ruleCount)
	for i := range out {
		out[i] = Rule(i)
	}
	return out
}

// String is the rule's name.
func (r Rule) String() string {
	names := map[Rule]string{
		Look: "look", Check: "check", Order: "order", Cond: "cond", Alone: "alone", Wait: "wait", Own: "own",
		Confirm: "confirm", Begun: "begun", Age: "age", Fresh: "fresh", Key: "key", Redo: "redo", Tidy: "tidy",
		Join: "join", Covered: "covered", View: "view", Late: "late", Hold: "hold", Held: "held",
		Two: "two", Pages: "pages",
	}
	if name, ok := names[r]; ok {
		return name
	}
	return fmt.Sprintf("rule %d", uint(r))
}

// RuleSet is some of the rules.
type RuleSet uint64

// SetOf makes a set.
func SetOf(rules ...Rule) RuleSet {
	var s RuleSet
	for _, r := range rules {
		s |= 1 << r
	}
	return s
}

// Has says whether a rule is in the set.
func (s RuleSet) Has(r Rule) bool { return s&(1<<r) != 0 }
