package elastiolegacy

import (
	"context"
	"iter"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// decodeLimit bounds what one stored batch of an import may decode to: it was made of lines.
const decodeLimit = 2 * maxLine

// Known lists the incarnations of topics that earlier imports brought into a vault, for
// [Import.MakePlan].
type Known struct {
	vault   *vault.Vault
	byTopic map[string]map[coldstream.TopicID][]vault.View
}

// ReadKnown reads which incarnations a vault holds, as its snapshots show them.
func ReadKnown(ctx context.Context, v *vault.Vault) (*Known, error) {
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return nil, err
	}
	k := &Known{vault: v, byTopic: map[string]map[coldstream.TopicID][]vault.View{}}
	err = c.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		if s.ClusterID != ClusterID {
			return nil
		}
		all, err := s.Views(ctx)
		views := map[coldstream.Incarnation][]vault.View{}
		for _, view := range all {
			views[view.Stream.Incarnation] = append(views[view.Stream.Incarnation], view)
		}
		for of, all := range views { // the newest snapshot shows most
			if k.byTopic[of.Topic] == nil {
				k.byTopic[of.Topic] = map[coldstream.TopicID][]vault.View{}
			}
			k.byTopic[of.Topic][of.TopicID] = all
		}
		return err
	})
	return k, err
}

// Existing is what the vault holds of a topic.
func (k *Known) Existing(topic string) ([]Existing, error) {
	var out []Existing
	for n := 0; len(out) < len(k.byTopic[topic]); n++ {
		views, ok := k.byTopic[topic][TopicID(topic, n)]
		if !ok {
			break // numbers are given out without a hole
		}
		e := Existing{Number: n, Partitions: map[int32]Range{}}
		byPartition := map[int32]vault.View{}
		for _, view := range views {
			e.Partitions[view.Stream.Partition] = Range{view.LogStartOffset, view.NextOffset}
			byPartition[view.Stream.Partition] = view
		}
		e.Records = func(ctx context.Context, partition int32, from int64) iter.Seq2[recordbatch.Absolute, error] {
			return k.records(ctx, byPartition[partition], from)
		}
		out = append(out, e)
	}
	return out, nil
}

func (k *Known) records(ctx context.Context, view vault.View, from int64) iter.Seq2[recordbatch.Absolute, error] {
	return func(yield func(recordbatch.Absolute, error) bool) {
		h, err := k.vault.OpenHistory(ctx, []vault.View{view}, vault.HistoryOptions{})
		if err != nil {
			yield(recordbatch.Absolute{}, err)
			return
		}
		decoder := recordbatch.NewDecoder()
		for b, err := range h.Streams()[0].Batches(ctx, from) {
			var records []recordbatch.Absolute
			if err == nil {
				records, err = decoder.Absolute(b, decodeLimit)
			}
			if err != nil {
				yield(recordbatch.Absolute{}, err)
				return
			}
			for _, r := range records {
				if r.Offset >= from && !yield(r, nil) {
					return
				}
			}
		}
	}
}
