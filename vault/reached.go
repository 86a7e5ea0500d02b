package vault

import (
	"slices"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// Reached says that with its commit the vault holds topics up to the ends that their logs
// had at AsOf or later, all partitions of each.
type Reached struct {
	AsOf time.Time
	// Topics are sorted, no two equal.
	Topics []coldstream.Incarnation
}

// reachedList is what a commit of a writer listed last. Later commits refer to it: most say
// the same of the same topics, and names are long.
type reachedList struct {
	epoch, seq uint32
	topics     []coldstream.Incarnation
}

// fewLeftOut says that it is shorter to say which topics are left out than to list the rest.
func fewLeftOut(left, listed int) bool { return left <= 8+listed/8 }

// reached makes what the commit says of topics that are whole, and the list that later commits may
// refer to. Topics that it lists must be among the facts' incarnations.
func (c *commitInMaking) reached(r *Reached) (said *format.Reached, listed []coldstream.Incarnation) {
	if r == nil || len(r.Topics) == 0 {
		return nil, nil
	}
	said = &format.Reached{AsOfMs: r.AsOf.UnixMilli()}
	list, epoch := c.listed, c.catalog.epoch
	if list.topics != nil && list.epoch == epoch {
		if left, ok := leftOut(list.topics, r.Topics); ok && fewLeftOut(len(left), len(list.topics)) {
			said.Back, said.LeftOut = c.commits-list.seq, left
			return said, nil
		}
	}
	said.Name = c.name
	return said, slices.Clone(r.Topics)
}

// leftOut are the indexes of what some topics lack of a list. It is false if they are not
// among it. Both are sorted.
func leftOut(list, topics []coldstream.Incarnation) (out []uint32, ok bool) {
	for i, in := range list {
		if len(topics) > 0 && topics[0] == in {
			topics = topics[1:]
			continue
		}
		out = append(out, uint32(i))
	}
	return out, len(topics) == 0
}

// reachedStatement is what one commit said.
type reachedStatement struct {
	commit format.CommitID
	asOf   time.Time
	lists  format.CommitID // the commit that lists the topics
	out    []uint32
}

// reachedReader collects statements of an epoch's commits.
type reachedReader struct {
	lists map[format.CommitID]map[coldstream.Incarnation]uint32
	names map[format.Writer]string
	said  []reachedStatement
}

func newReachedReader() *reachedReader {
	return &reachedReader{lists: map[format.CommitID]map[coldstream.Incarnation]uint32{}, names: map[format.Writer]string{}}
}

func (r *reachedReader) take(commit *format.Commit) {
	at := commit.Reached
	if at == nil {
		return
	}
	lists := commit.ID
	lists.Seq -= at.Back
	r.said = append(r.said, reachedStatement{commit.ID, time.UnixMilli(at.AsOfMs).UTC(), lists, at.LeftOut})
	if at.Back > 0 {
		return
	}
	r.names[commit.ID.Writer] = at.Name
	topics := make(map[coldstream.Incarnation]uint32, len(at.Topics))
	for i, index := range at.Topics {
		topics[commit.Facts.Incarnations[index]] = uint32(i)
	}
	r.lists[commit.ID] = topics
}

// says that a statement is about a topic. One whose list is lost says nothing.
func (r *reachedReader) says(s *reachedStatement, topic coldstream.Incarnation) bool {
	i, listed := r.lists[s.lists][topic]
	if !listed {
		return false
	}
	_, left := slices.BinarySearch(s.out, i)
	return !left
}
