package format

import (
	"cmp"

	"coldstream"
)

type shortJSON struct {
	Short []shortPartitionJSON `json:"short"`
}

type shortPartitionJSON struct {
	Topic      text  `json:"topic"`
	TopicID    text  `json:"topic_id"`
	Partition  int32 `json:"partition"`
	NextOffset int64 `json:"next_offset"`
	Error      text  `json:"error"`
}

// EncodeShort writes the section "short".
func EncodeShort(short []coldstream.ShortPartition) ([]byte, error) {
	j := shortJSON{Short: []shortPartitionJSON{}}
	for _, s := range short {
		j.Short = append(j.Short, shortPartitionJSON{text(s.Topic), text(s.TopicID.String()), s.Partition, s.NextOffset, errorText(s.Err)})
	}
	return proven(j, DecodeShort)
}

// DecodeShort reads the section "short".
func DecodeShort(b []byte) ([]coldstream.ShortPartition, error) {
	var j shortJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if len(j.Short) == 0 {
		return nil, corruptf("short: no partition is")
	}
	var out []coldstream.ShortPartition
	for _, s := range j.Short {
		id, err := coldstream.ParseTopicID(string(s.TopicID))
		if err != nil || s.Partition < 0 || s.NextOffset < 0 || s.Error == "" {
			return nil, corruptf("short: partition %d of topic %q to offset %d, topic ID %q, error %q", s.Partition, s.Topic, s.NextOffset, s.TopicID, s.Error)
		}
		p := coldstream.ShortPartition{TopicID: id, NextOffset: s.NextOffset, Err: textError(s.Error)}
		p.Topic, p.Partition = string(s.Topic), s.Partition
		if n := len(out); n > 0 && cmp.Or(out[n-1].Compare(p.TopicPartition), cmp.Compare(string(out[n-1].TopicID[:]), string(id[:]))) >= 0 {
			return nil, corruptf("short: %s stands behind %s", p.TopicPartition, out[n-1].TopicPartition)
		}
		out = append(out, p)
	}
	return out, nil
}
