// Package retention decides which snapshots a policy keeps. It knows nothing of storage.
package retention

import (
	"fmt"
	"slices"
	"time"
)

// Policy says how many snapshots to keep, for each topic of each cluster. A snapshot stays
// if any rule keeps it for any of its topics.
type Policy struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps what is at most so much older than the newest snapshot.
	Within time.Duration
}

// IsZero says that the policy keeps nothing.
func (p Policy) IsZero() bool { return p == Policy{} }

// Check refuses negative numbers.
func (p Policy) Check() error {
	if min(p.Last, p.Hourly, p.Daily, p.Weekly, p.Monthly, p.Yearly) < 0 || p.Within < 0 {
		return fmt.Errorf("a number of snapshots to keep is below 0")
	}
	return nil
}

// Snapshot is what the policy sees of one.
type Snapshot struct {
	Time      time.Time
	ClusterID string
	Topics    []string
}

// Decision is what becomes of a snapshot.
type Decision struct {
	// Reasons are the rules that keep it, as "daily"; none means that it goes.
	Reasons []string
	// Future says that its time is ahead of now by more than the tolerance: its clock was
	// wrong. It counts for no rule, and stays until somebody names it.
	Future bool
}

// Keep says that the snapshot stays.
func (d *Decision) Keep() bool { return d.Future || len(d.Reasons) > 0 }

// Tolerance is how far clocks may be apart.
const Tolerance = 5 * time.Minute

// Decide applies a policy to snapshots in their order, the oldest first. Which of two is
// newer is their order's to say; times only say in which hour or day they lie, in now's
// time zone.
func Decide(p Policy, snapshots []Snapshot, now time.Time) []Decision {
	out := make([]Decision, len(snapshots))
	byTopic := map[[2]string][]int{} // the newest first
	for i := len(snapshots) - 1; i >= 0; i-- {
		s := &snapshots[i]
		if s.Time.After(now.Add(Tolerance)) {
			out[i].Future = true
			continue
		}
		topics := s.Topics
		if len(topics) == 0 {
			topics = []string{""} // a snapshot of an empty cluster counts too
		}
		for _, topic := range topics {
			of := [2]string{s.ClusterID, topic}
			byTopic[of] = append(byTopic[of], i)
		}
	}
	for _, of := range byTopic {
		for _, rule := range p.rules() {
			rule.apply(snapshots, of, now.Location(), out)
		}
		p.applyWithin(snapshots, of, out)
	}
	for i := range out {
		slices.Sort(out[i].Reasons)
	}
	return out
}

// rule keeps the newest snapshot of each of the newest n periods that have one.
type rule struct {
	name   string
	n      int
	period func(time.Time) string // nil: each snapshot is a period of its own
}

func (p Policy) rules() []rule {
	layout := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.Format(layout) }
	}
	return []rule{
		{"last", p.Last, nil},
		{"hourly", p.Hourly, layout("2006-01-02 15 -0700")},
		{"daily", p.Daily, layout("2006-01-02")},
		{"weekly", p.Weekly, func(t time.Time) string { return fmt.Sprint(t.ISOWeek()) }},
		{"monthly", p.Monthly, layout("2006-01")},
		{"yearly", p.Yearly, layout("2006")},
	}
}

func (r rule) apply(snapshots []Snapshot, newestFirst []int, zone *time.Location, out []Decision) {
	seen := map[string]bool{}
	for _, i := range newestFirst {
		if len(seen) == r.n {
			return
		}
		period := fmt.Sprint(i)
		if r.period != nil {
			period = r.period(snapshots[i].Time.In(zone))
		}
		if !seen[period] {
			seen[period] = true
			out[i].keep(r.name)
		}
	}
}

func (p Policy) applyWithin(snapshots []Snapshot, newestFirst []int, out []Decision) {
	if p.Within <= 0 {
		return
	}
	newest := snapshots[newestFirst[0]].Time
	for _, i := range newestFirst {
		if snapshots[i].Time.After(newest) {
			newest = snapshots[i].Time // a clock went back between the two
		}
	}
	for _, i := range newestFirst {
		if newest.Sub(snapshots[i].Time) <= p.Within {
			out[i].keep("within")
		}
	}
}

func (d *Decision) keep(reason string) {
	if !slices.Contains(d.Reasons, reason) {
		d.Reasons = append(d.Reasons, reason)
	}
}
