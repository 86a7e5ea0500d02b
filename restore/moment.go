package restore

import (
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault"
)

// choice is what of the vault is meant.
func (r *Request) choice() *vault.Choice {
	return &vault.Choice{ID: r.Snapshot, ClusterID: r.ClusterID, Topics: r.Topics, Tags: r.Tags, At: r.At, Now: r.Now(), Archive: r.Archive}
}

// checkMoment refuses what contradicts itself.
func (r *Request) checkMoment() error {
	asked := 0
	for _, is := range []bool{r.Snapshot != "", !r.At.IsZero(), r.Archive} {
		if is {
			asked++
		}
	}
	switch {
	case asked > 1:
		return &UsageError{Text: "a snapshot, a time, and all that the vault holds exclude each other"}
	case r.GroupsOnly && (r.Archive || r.Since != nil || r.Until != nil):
		return &UsageError{Text: "groups alone restore no records: nothing can be said of which"}
	}
	return r.checkPart()
}

// warnOfMoment says what is to be known of views that are not a snapshot's own.
func (p *Plan) warnOfMoment(catalog *vault.Catalog, choice *vault.Choice) {
	if notice := catalog.OrderNotice(p.Snapshot, choice); notice != "" {
		p.warn("%s", notice)
	}
	for i := range p.shown.Cuts {
		if cut := &p.shown.Cuts[i]; cut.Reread {
			p.warn("%s was read again from its start between then and snapshot %s of %s, as compacted topics are: "+
				"of what came after the last backup before then nothing is restored",
				p.shown.Views[i].Stream.TopicPartition(), cut.Bound.ID, cut.Bound.Time.UTC().Format(time.RFC3339))
		}
	}
	for _, s := range p.shown.Added {
		p.warn("%s is not in snapshot %s: the partition was added later, and is restored too", s.TopicPartition(), p.Snapshot.ID)
	}
	for _, s := range p.shown.ReadBefore {
		p.warn("%s is compacted and was read in full several times: the newest reading is restored, and not what only earlier ones hold", s.TopicPartition())
	}
	if p.req.Archive {
		p.warn("all that the vault holds is restored, whatever snapshots show of it; configs and consumer groups are those of snapshot %s of %s",
			p.Snapshot.ID, p.Snapshot.Time.UTC().Format(time.RFC3339))
	}
}

// noteMoment says in the hold what is restored, if it is not what a snapshot shows.
func (p *Plan) noteMoment(r *holdRecord) (err error) {
	r.Archive, r.At = p.req.Archive, recordedTime(p.req.At)
	if p.shown == nil {
		return nil
	}
	if r.Holds, err = p.shown.HeldViews(); r.Holds != nil {
		r.Snapshot = ""
	}
	return err
}

// takeMoment takes what the restore that is gone on with restored.
func (p *Plan) takeMoment() (err error) {
	hold := &p.resumes.hold
	if hold.At != "" { // a time may be written as a distance from now
		if p.req.At, err = time.Parse(recordTime, hold.At); err != nil {
			return fmt.Errorf("restore %s: its time: %w", p.ID, err)
		}
	}
	p.req.Snapshot, err = hold.snapshot()
	return err
}

// asBegun gives a view the bounds that it had when the restore began which is gone on with: backups may have
// added to what the vault holds, looked at ends anew, and read logs again from their start.
func (p *Plan) asBegun(t *topicPlan, view vault.View) vault.View {
	if log := p.begunAs(t, view); log != nil {
		view.LogStartOffset, view.NextOffset, view.Scan, view.LastEpoch = log.First, log.Next, log.Scan, log.LastEpoch
	}
	return view
}

// wholeAsBegun does the same for what a part is restored of.
func (p *Plan) wholeAsBegun(t *topicPlan, view vault.View) vault.View {
	if log := p.begunAs(t, view); log != nil && log.Whole != nil {
		view.LogStartOffset, view.NextOffset, view.Scan, view.LastEpoch = log.Whole.First, log.Whole.Next, log.Scan, log.LastEpoch
	}
	return view
}

// begunAs is what the restore that is gone on with says of a partition; nil if it says nothing, or there is none.
func (p *Plan) begunAs(t *topicPlan, view vault.View) *resumeLog {
	if p.resumes == nil {
		return nil
	}
	recorded, _ := p.resumes.topic(t.target)
	if recorded == nil {
		return nil
	}
	return recorded.log(view.Stream.Partition)
}

// recordedTime is a time in a record; empty for none.
func recordedTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(recordTime)
}

// cutOf says how sharply a partition ends; nil without a time, or where the part asked for ends it.
func (p *Plan) cutOf(part *partitionPlan) *vault.Cut {
	if p.shown == nil || p.shown.Cuts == nil || part.whole != nil && part.stream.View.NextOffset < part.whole.View.NextOffset {
		return nil
	}
	i, found := slices.BinarySearchFunc(p.shown.Views, part.stream.View.Stream, func(v vault.View, s coldstream.Stream) int { return v.Stream.Compare(s) })
	if !found {
		return nil
	}
	return &p.shown.Cuts[i]
}

// forgotten is what it means that a hold came too late.
func (p *Plan) forgotten(cause error) error {
	return fmt.Errorf("restore from snapshot %s: %w", p.Snapshot.ID, cause)
}
