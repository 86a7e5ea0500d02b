package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"coldstream"
	"coldstream/vault"
)

// changedTopic is a topic as the restore's record knows it, so that whoever comes after a
// restore that was killed finds the way back.
type changedTopic struct {
	Topic string `json:"topic"`
	// Made says that the restore makes the topic: nobody's records but its own are in it.
	Made    bool   `json:"made"`
	TopicID string `json:"topic_id,omitempty"` // of one that was there
	// During are configs that the topic has for the time of the restore.
	During map[string]string `json:"during"`
	// Commands put the topic's own configs back.
	Commands []string `json:"commands"`
}

func (x *execution) changedTopics() []changedTopic {
	out := []changedTopic{}
	for _, t := range x.plan.topics {
		c := changedTopic{
			Topic: t.target, Made: t.create, During: t.configs.during, Commands: alterCommands(x.plan.req.Bootstrap, t.target, t.configs.undo()),
		}
		if !t.create {
			c.TopicID = t.existing.ID.String()
		}
		out = append(out, c)
	}
	return out
}

// tellWayBack says, before the first change, how the configs of topics that are there are put
// back: if the restore is killed nobody else does.
func (x *execution) tellWayBack() {
	for _, t := range x.changedTopics() {
		if !t.Made && len(t.Commands) > 0 && len(t.During) > 0 {
			x.plan.req.Observer.Observe(&coldstream.Notice{
				Text:  fmt.Sprintf("topic %s has other configs for the time of the restore; if that is killed, put its own back with:", t.Topic),
				Lines: t.Commands,
			})
		}
	}
}

// cutOff is a topic that another restore has changed and not put back.
type cutOff struct {
	changedTopic
	restore vault.RestoreID
	ended   bool
	resume  *resumeRecord
}

// findCutOff looks in the vault for restores that left topics as they are now.
func (p *Plan) findCutOff(ctx context.Context, there map[string]coldstream.Topic) error {
	marked := false
	for _, t := range p.topics {
		marked = marked || isBeingRestored(there[t.target].Configs)
	}
	if len(there) == 0 {
		return nil
	}
	restores, err := p.trail.Restores(ctx)
	if err != nil {
		return err
	}
	p.cutOff = map[string]cutOff{}
	for _, r := range restores {
		if r.Ended && !marked { // then it put back what it could, or said that it did not
			continue
		}
		document, err := p.trail.RestoreRecord(ctx, r.ID, recordPlan)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it changed nothing
		}
		var record planRecord
		if err == nil {
			err = json.Unmarshal(document, &record)
		}
		if err != nil {
			p.warn("what restore %s set out to do cannot be read: %v", r.ID, err)
			continue
		}
		for _, c := range record.Changed {
			if topic, ok := there[c.Topic]; ok && record.ClusterID == p.TargetClusterID && c.isAsLeft(&topic) {
				p.cutOff[c.Topic] = cutOff{c, r.ID, r.Ended, record.Resume}
			}
		}
	}
	return nil
}

// isAsLeft says that a topic has all configs of the restore still.
func (c *changedTopic) isAsLeft(t *coldstream.Topic) bool {
	if !c.Made && c.TopicID != t.ID.String() || len(c.During) == 0 {
		return false
	}
	for name, value := range c.During {
		if own, ok := t.Config(name); !ok || own != value {
			return false
		}
	}
	return true
}

// whyUnfinished says that a topic is as a restore left it, and what to do; nothing if it
// is not. Nobody is told to delete a topic that may hold the records of others.
func (p *Plan) whyUnfinished(t *topicPlan) (reason string, next Advice) {
	cut, known := p.cutOff[t.target]
	switch {
	case known && !cut.ended && cut.resume != nil:
		return fmt.Sprintf("topic %s has the configs of restore %s, which has not ended: it is not whole", t.target, cut.restore),
			Advice{Remedy: RemedyResume, Of: p.givenUpWith(cut.restore), Command: cut.resume.Command}
	case known && cut.Made:
		return fmt.Sprintf("topic %s has the configs of a restore that has not ended (%s made it): it is not whole", t.target, cut.restore),
			Advice{Text: fmt.Sprintf("if that restore is not going on, delete topic %s and restore it again", t.target)}
	case known && len(cut.Commands) > 0:
		return fmt.Sprintf("topic %s has the configs of restore %s, which was cut off, and not its own", t.target, cut.restore),
			Advice{Text: "if that restore is not going on, put them back with: " + strings.Join(cut.Commands, " && ")}
	case isBeingRestored(t.existing.Configs):
		return fmt.Sprintf("topic %s has the configs of a restore that has not ended, and this vault knows of none", t.target),
			Advice{Remedy: RemedyOtherTopic, Text: "if no restore into it is going on, put its own configs back with kafka-configs.sh"}
	}
	return "", Advice{}
}
