package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// hintOf is the hint that an error has.
func hintOf(err error) string {
	var denied *coldstream.DeniedError
	if errors.As(err, &denied) {
		return denied.Grant
	}
	var hinted interface{ Hint() string }
	var usage interface{ UsageHint() string }
	switch {
	case errors.As(err, &hinted):
		return hinted.Hint()
	case errors.As(err, &usage):
		return usage.UsageHint()
	}
	return ""
}

// rights compares what the user may do with what the job needs.
func (d *doctor) rights(ctx context.Context) {
	before := d.failures()
	d.topicRights()
	if d.checkup.Job == JobRestore {
		d.newTopicRights(ctx)
		d.out.Add("rights", "groups", StatusOK, "not checked: whether offsets of groups may be committed (Read) shows only at a restore")
	} else {
		d.groupRights(ctx)
	}
	if d.failures() == before {
		d.out.Add("rights", "", StatusOK, fmt.Sprintf("all that was checked is there for a %s", d.checkup.Job))
	}
}

func (d *doctor) failures() int {
	count := 0
	for _, line := range d.out {
		if line.Check == "rights" && line.Status != StatusOK {
			count++
		}
	}
	return count
}

// topicRights reads the rights on topics that are there.
func (d *doctor) topicRights() {
	allowed := map[string]int32{}
	for i := range d.cluster.Topics {
		if t := &d.cluster.Topics[i]; t.Topic != nil {
			allowed[*t.Topic] = t.AuthorizedOperations
		}
	}
	for i := range d.chosen {
		t := &d.chosen[i]
		operations, ok := allowed[t.Name]
		if t.Err != nil || !ok {
			continue
		}
		if operations == rightsNotTold {
			d.out.Add("rights", t.Name, StatusOK, "not checked: the brokers do not tell (Metadata v8, Kafka 2.3)")
			continue
		}
		for _, need := range Needs(d.checkup.Job, []NamePattern{{Name: t.Name}}) {
			operation, err := kmsg.ParseACLOperation(need.Operation)
			if need.Resource != coldstream.ResourceTopic || need.Name != t.Name || err != nil || operations&(1<<operation) != 0 {
				continue
			}
			if need.Operation == "Create" { // it is there
				continue
			}
			d.lacks(need)
		}
	}
}

// lacks says that a right is missing.
func (d *doctor) lacks(need Need) {
	line := d.out.Add("rights", need.Resource+" "+need.Name, StatusFail, "needs "+need.String()+": without it "+need.Without)
	line.Hint = d.client.grant(need.Right)
}

// newTopicRights asks whether topics that were named and are not there would be made, and
// their configs altered. Both questions change nothing.
func (d *doctor) newTopicRights(ctx context.Context) {
	for _, name := range d.checkup.Topics.Unmatched(d.chosen) {
		topic := coldstream.NewTopic{Name: name, Partitions: useDefault, ReplicationFactor: useDefault}
		if err := d.client.CheckTopic(ctx, topic); err != nil {
			d.out.addError("rights", "topic "+name, StatusFail, err)
			continue
		}
		if err := d.client.checkAlter(ctx, name); errors.Is(err, coldstream.ErrDenied) {
			d.out.addError("rights", "topic "+name, StatusFail, err)
			continue
		}
		d.out.Add("rights", "topic "+name, StatusOK, "it can be made, and its configs altered; whether it can be written to shows only then")
	}
}

// checkAlter asks whether configs of a topic that is not there might be altered: brokers look
// at the right before they look for the topic.
func (c *Client) checkAlter(ctx context.Context, topic string) error {
	req := newAlterRequest(topic, coldstream.ConfigChange{Set: map[string]string{"retention.ms": "-1"}})
	req.ValidateOnly = true
	return c.alterOnce(ctx, req)
}

// groupRights reads the groups as a backup does.
func (d *doctor) groupRights(ctx context.Context) {
	groups, err := d.client.Groups(ctx)
	if errors.Is(err, coldstream.ErrNotOffered) {
		return // it was told with the versions
	}
	if err != nil {
		d.out.addError("groups", "", StatusFail, err)
		return
	}
	for _, missing := range groups.Missing {
		check := "groups"
		if errors.Is(missing.Err, coldstream.ErrDenied) {
			check = "rights"
		}
		d.out.addError(check, "groups", StatusFail, missing.Err)
	}
	count := 0
	for i := range groups.List {
		g := &groups.List[i]
		switch {
		case errors.Is(g.Err, coldstream.ErrDenied):
			d.out.addError("rights", "group "+g.Name, StatusFail, g.Err)
		case errors.Is(g.Err, coldstream.ErrUnsupported):
			d.out.Add("groups", g.Name, StatusOK, "skipped: it is a share group, whose offsets are not saved yet")
		case g.Err != nil:
			d.out.addError("groups", g.Name, StatusFail, g.Err)
		default:
			count++
		}
	}
	d.out.Add("groups", "", StatusOK, fmt.Sprintf("offsets of %d consumer groups can be read", count))
}
