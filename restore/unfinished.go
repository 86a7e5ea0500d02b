package restore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// A restore that was killed is taken up where it was: its record says what it set out to do, and
// with which producer. Batches are cut as they were, each has the sequence number that it had, and a
// broker that has one of them already, or gets it late from the killed run, appends it once.

// resumeVersion says what a resumeRecord is, and by which rules a feed cuts batches. Other rules
// are another version: their batches would not be those that a broker knows.
const resumeVersion = 1

// planRecord is record 1.
type planRecord struct {
	ProducerID    int64           `json:"producer_id"`
	ProducerEpoch int16           `json:"producer_epoch"`
	Plan          *resultDocument `json:"plan"`
	ClusterID     string          `json:"target_cluster_id"`
	Changed       []changedTopic  `json:"changed_topics"`
	Resume        *resumeRecord   `json:"resume,omitempty"`
}

// resumeRecord is what the next run must know of a restore.
type resumeRecord struct {
	Version int `json:"version"`
	// Command is the part of the command line that says what is restored.
	Command []string      `json:"command"`
	Topics  []resumeTopic `json:"topics"`
	// Before are the offsets that groups had before, by group.
	Before map[string][]groupOffsetDocument `json:"group_offsets_before"`
}

// resumeTopic is a topic of the target.
type resumeTopic struct {
	Topic             string            `json:"topic"`
	Partitions        int32             `json:"partitions"` // of a topic that the restore makes
	ReplicationFactor int16             `json:"replication_factor"`
	Final             map[string]string `json:"final"`
	During            map[string]string `json:"during"`
	Asked             map[string]string `json:"asked"`
	Replaced          map[string]string `json:"replaced"`
	Direct            bool              `json:"direct"`
	Needs             int64             `json:"needs"`
	Logs              []resumeLog       `json:"logs"`
}

// resumeLog is a partition of the target, and how the source's offsets [First, Next) come into it.
type resumeLog struct {
	Partition int32  `json:"partition"`
	First     int64  `json:"first_offset"`
	Next      int64  `json:"next_offset"`
	Scan      uint32 `json:"scan"`
	LastEpoch int32  `json:"last_epoch"`
	At        int64  `json:"at"` // the log's end before the restore
	Filler    int64  `json:"filler"`
	Exact     bool   `json:"exact"`
	Why       string `json:"why,omitempty"`
	// Runs is a hash of what the vault has of the offsets: batches are cut by that.
	Runs string `json:"runs"`
	// Whole is what the offsets are a part of, and decides over transactions; nil if they are all.
	Whole *resumeWhole `json:"whole,omitempty"`
}

// resumeWhole is what a partition is a part of, and a hash of what the vault has of it.
type resumeWhole struct {
	First int64  `json:"first_offset"`
	Next  int64  `json:"next_offset"`
	Runs  string `json:"runs"`
}

// unfinished is a restore that has no result yet.
type unfinished struct {
	id   vault.RestoreID
	hold holdRecord
	plan planRecord
	// nextRecord is a number that none of its records has, and no later one.
	nextRecord uint32
}

// findUnfinished finds the restore that the request goes on with. One that is there and not asked
// for is an error: a second restore beside it would find its topics, and not know them.
func (p *Plan) findUnfinished(ctx context.Context) error {
	if len(p.req.Command) == 0 || p.req.GroupsOnly {
		return nil
	}
	if err := p.findTarget(ctx); err != nil {
		return err
	}
	found, err := p.unfinishedInto(ctx, p.TargetClusterID)
	switch {
	case err != nil:
		return err
	case found == nil:
		return p.refuseFinishedState()
	case !p.req.Resume:
		return &RefusedError{
			Reasons: []string{fmt.Sprintf("restore %s of the same command line, begun %s, has not ended", found.id, found.hold.Started)},
			Advice:  Advice{Remedy: RemedyResume, Of: p.givenUpWith(found.id), Command: p.req.Command},
		}
	case found.plan.Resume.Version != resumeVersion:
		return &RefusedError{
			Reasons: []string{fmt.Sprintf("restore %s, begun %s, is of another version of coldstream, which cuts batches otherwise", found.id, found.hold.Started)},
			Advice:  Advice{Remedy: RemedyGiveUp, Of: p.givenUpWith(found.id), Text: "or go on with the version that began it"},
		}
	}
	p.resumes, p.ID = found, found.id
	return p.takeMoment()
}

// unfinishedInto finds the last restore of the same command line into a cluster that has no
// result. One without a plan changed nothing.
func (p *Plan) unfinishedInto(ctx context.Context, clusterID string) (*unfinished, error) {
	restores, err := p.trail.Restores(ctx)
	if err != nil {
		return nil, err
	}
	var last *unfinished
	for _, r := range restores {
		if !r.Begun || r.Ended {
			continue
		}
		found := &unfinished{id: r.ID, nextRecord: max(recordPiece, r.LastRecord+1)}
		err := readRecord(ctx, p.trail, r.ID, recordPlan, &found.plan)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = readRecord(ctx, p.trail, r.ID, recordHold, &found.hold)
		}
		if err != nil && p.req.Resume && p.req.Append {
			// It may be the one to go on with: beginning anew would append its records once more.
			return nil, &RefusedError{
				Reasons: []string{fmt.Sprintf("what restore %s set out to do cannot be read: %v", r.ID, err)},
				Advice:  Advice{Remedy: RemedyGiveUp, Of: p.givenUpWith(r.ID)},
			}
		}
		if err != nil {
			p.warn("what restore %s set out to do cannot be read: %v", r.ID, err)
			continue
		}
		is := found.plan.Resume != nil && found.plan.ClusterID == clusterID && slices.Equal(found.plan.Resume.Command, p.req.Command)
		if is && (last == nil || found.isAfter(last)) {
			last = found
		}
	}
	return last, nil
}

func (u *unfinished) isAfter(other *unfinished) bool {
	return cmp.Or(cmp.Compare(u.hold.Sequence, other.hold.Sequence), cmp.Compare(u.hold.Started, other.hold.Started)) > 0
}

// refuseFinishedState keeps a restore from adding to a state file in which there is none to go on with.
func (p *Plan) refuseFinishedState() error {
	if s, ok := p.trail.(*stateFile); ok && s.isThere {
		return &RefusedError{
			Reasons: []string{fmt.Sprintf("state file %s is there already, and has no unfinished restore of this command line", s.path)},
			Advice:  Advice{Text: "name a file that is not there; nothing is ever written over"},
		}
	}
	return nil
}

// givenUpWith names a restore that can be given up: one that a vault holds a snapshot for.
func (p *Plan) givenUpWith(id vault.RestoreID) string {
	if p.req.StateFile != "" {
		return ""
	}
	return id.String()
}

func (x *execution) planRecord() *planRecord {
	r := &planRecord{
		ProducerID: x.producer.ID, ProducerEpoch: x.producer.Epoch, Plan: x.plan.DryRun().document(), ClusterID: x.plan.TargetClusterID, Changed: x.changedTopics(),
	}
	if len(x.plan.req.Command) == 0 {
		return r
	}
	r.Resume = &resumeRecord{Version: resumeVersion, Command: x.plan.req.Command, Topics: []resumeTopic{}, Before: x.plan.groupsBefore()}
	for _, t := range x.plan.topics {
		r.Resume.Topics = append(r.Resume.Topics, t.resumeTopic())
	}
	return r
}

func (t *topicPlan) resumeTopic() resumeTopic {
	c := t.configs
	out := resumeTopic{
		Topic: t.target, Partitions: t.newTopic.Partitions, ReplicationFactor: t.newTopic.ReplicationFactor,
		Final: c.final, During: c.during, Asked: c.asked, Replaced: c.replaced, Direct: c.direct, Needs: c.needs, Logs: []resumeLog{},
	}
	for _, part := range t.partitions {
		out.Logs = append(out.Logs, part.resumeLog())
	}
	return out
}

func (p *partitionPlan) resumeLog() resumeLog {
	view := p.stream.View
	log := resumeLog{
		Partition: p.target.Partition, First: view.LogStartOffset, Next: view.NextOffset, Scan: view.Scan, LastEpoch: view.LastEpoch,
		At: p.at, Filler: p.filler, Exact: p.exact, Why: p.why, Runs: hashOfRuns(p.stream.Runs),
	}
	if p.whole != nil {
		log.Whole = &resumeWhole{p.whole.View.LogStartOffset, p.whole.View.NextOffset, hashOfRuns(p.whole.Runs)}
	}
	return log
}

// is says that a partition comes into its log as another one did.
func (l resumeLog) is(other resumeLog) bool {
	if (l.Whole == nil) != (other.Whole == nil) || l.Whole != nil && *l.Whole != *other.Whole {
		return false
	}
	l.Whole, other.Whole = nil, nil
	return l == other
}

// hashOfRuns tells whether the vault still has of a view what it had: where batches were fetched
// again, as damage makes necessary, a log may have been compacted further.
func hashOfRuns(runs []vault.Run) string {
	h := sha256.New()
	var b []byte
	for i := range runs {
		r := &runs[i]
		b = b[:0]
		for _, n := range []int64{
			r.FirstOffset, r.NextOffset, r.Records, r.Batches, r.SizeBytes, r.MaxBatchBytes, r.MaxTimestampMs, int64(len(r.Markers)), int64(len(r.Transactions)),
		} {
			b = binary.BigEndian.AppendUint64(b, uint64(n))
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// groupsBefore are the offsets that groups had before they were restored.
func (p *Plan) groupsBefore() map[string][]groupOffsetDocument {
	out := map[string][]groupOffsetDocument{}
	if p.resumes != nil {
		return p.resumes.plan.Resume.Before // some may have been committed meanwhile
	}
	for _, g := range p.groups {
		for _, o := range g.before {
			out[g.recorded.Name] = append(out[g.recorded.Name], groupOffsetDocument{
				Topic: o.Topic, Partition: o.Partition, SourceOffset: o.Offset, TargetOffset: o.Offset, Metadata: o.Metadata,
			})
		}
	}
	return out
}

// topic is what the record says of a topic of the target.
func (u *unfinished) topic(name string) (*resumeTopic, *changedTopic) {
	r := u.plan.Resume
	i := slices.IndexFunc(r.Topics, func(t resumeTopic) bool { return t.Topic == name })
	j := slices.IndexFunc(u.plan.Changed, func(t changedTopic) bool { return t.Topic == name })
	if i < 0 || j < 0 {
		return nil, nil
	}
	return &r.Topics[i], &u.plan.Changed[j]
}

// log is what the record says of a partition of the topic; nil if it says nothing.
func (t *resumeTopic) log(partition int32) *resumeLog {
	for i := range t.Logs {
		if t.Logs[i].Partition == partition {
			return &t.Logs[i]
		}
	}
	return nil
}

// configs are those of the plan that was made before anything was changed: the topic's own may be
// overlaid now.
func (u *unfinished) configs(r *resumeTopic, made bool) *configPlan {
	c := &configPlan{
		final: orEmpty(r.Final), during: orEmpty(r.During), asked: orEmpty(r.Asked), replaced: orEmpty(r.Replaced), direct: r.Direct, there: !made, needs: r.Needs,
	}
	for _, l := range u.plan.Plan.ConfigsLeftOut {
		if l.Topic == r.Topic {
			c.leftOut = append(c.leftOut, leftOutConfig{l.Config, l.Value, l.Reason})
		}
	}
	for _, d := range u.plan.Plan.ConfigsDiffer {
		if d.Topic == r.Topic {
			c.differ = append(c.differ, differingConfig{d.Config, effective{d.SourceValue, d.SourceSource}, d.TargetValue, d.TargetSource, d.Set})
		}
	}
	return c
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// takeUp plans a topic as the restore did that was cut off.
func (p *Plan) takeUp(t *topicPlan, offsets map[coldstream.TopicPartition]coldstream.LogOffsets, refused *RefusedError) {
	refuse := func(format string, args ...any) {
		refused.Reasons = append(refused.Reasons, fmt.Sprintf(format, args...))
		refused.Advice = Advice{Remedy: RemedyGiveUp, Of: p.givenUpWith(p.ID)}
	}
	recorded, changed := p.resumes.topic(t.target)
	if recorded == nil {
		refuse("restore %s has no topic %s", p.ID, t.target)
		return
	}
	t.isThere, t.create = !t.create, changed.Made
	t.configs = p.resumes.configs(recorded, changed.Made)
	t.newTopic = coldstream.NewTopic{
		Name: t.target, Partitions: recorded.Partitions, ReplicationFactor: recorded.ReplicationFactor, Configs: t.configs.create(),
	}
	if !changed.Made && (!t.isThere || t.existing.ID.String() != changed.TopicID) {
		refuse("topic %s was deleted, or made again, since restore %s began", t.target, p.ID)
		return
	}
	for _, part := range t.partitions {
		log := recorded.log(part.target.Partition)
		if log == nil {
			refuse("restore %s has no partition %s", p.ID, part.target)
			continue
		}
		part.at, part.filler, part.exact, part.why = log.At, log.Filler, log.Exact, log.Why
		switch {
		case !log.is(part.resumeLog()):
			refuse("%s: what the vault has of it is not what it had when restore %s began, so that batches cannot be cut as they were", part.target, p.ID)
		case t.isThere && int(part.target.Partition) >= len(t.existing.Partitions):
			refuse("topic %s has %d partitions, %s is needed", t.target, len(t.existing.Partitions), part.target)
		case t.isThere:
			if err := part.checkLeft(offsets[part.target]); err != nil {
				refuse("%v", err)
			}
		}
	}
	if !p.req.PutBackRetention {
		p.hold(t, t.retained(), p.req.Now())
	}
}

// checkLeft proves that the log can be one that the restore began to fill.
func (p *partitionPlan) checkLeft(log coldstream.LogOffsets) error {
	switch begin := p.at + p.filler; {
	case log.Err != nil:
		return fmt.Errorf("read log offsets of %s: %w", p.target, log.Err)
	case log.HighWatermark < p.at:
		return fmt.Errorf("%s ends at offset %d, and ended at %d before the restore: it lost records", p.target, log.HighWatermark, p.at)
	case log.HighWatermark > p.at && log.LogStartOffset > begin:
		return fmt.Errorf("%s begins at offset %d: records that were restored from offset %d on were deleted", p.target, log.LogStartOffset, begin)
	}
	return nil
}
