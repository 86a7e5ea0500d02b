package format

import (
	"errors"

	"coldstream"
)

// The sections hold what the cluster said of itself, as JSON in one form: fields in the
// order below, no white space, lists that are never null. What changes all the time
// without meaning anything for a restore (leaders, leader epochs, states of groups) is
// not in them, so that equal content is stored once.

type clusterJSON struct {
	ClusterID text         `json:"cluster_id"`
	Brokers   []brokerJSON `json:"brokers"`
}

type brokerJSON struct {
	ID   int32 `json:"id"`
	Host text  `json:"host"`
	Port int32 `json:"port"`
	Rack text  `json:"rack,omitempty"`
}

type topicsJSON struct {
	Topics []topicJSON `json:"topics"`
}

type topicJSON struct {
	Name         text            `json:"name"`
	TopicID      text            `json:"topic_id"`
	Internal     bool            `json:"internal"`
	Error        text            `json:"error,omitempty"`
	Partitions   []partitionJSON `json:"partitions"`
	Configs      []configJSON    `json:"configs"`
	ConfigsError text            `json:"configs_error,omitempty"`
}

type partitionJSON struct {
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

type configJSON struct {
	Name      text `json:"name"`
	Value     text `json:"value"`
	Source    text `json:"source"`
	Sensitive bool `json:"sensitive,omitempty"`
}

type groupsJSON struct {
	Groups []groupJSON `json:"groups"`
}

type groupJSON struct {
	Group        text         `json:"group"`
	Type         text         `json:"type"`
	ProtocolType text         `json:"protocol_type"`
	Error        text         `json:"error,omitempty"`
	Offsets      []offsetJSON `json:"offsets"`
}

// offsetJSON keeps the metadata's bytes: they need not be UTF-8.
type offsetJSON struct {
	Topic       text   `json:"topic"`
	Partition   int32  `json:"partition"`
	Offset      int64  `json:"offset"`
	LeaderEpoch int32  `json:"leader_epoch"`
	Metadata    []byte `json:"metadata"`
}

// EncodeCluster writes the section "cluster".
func EncodeCluster(c *coldstream.Cluster) ([]byte, error) {
	j := clusterJSON{ClusterID: text(c.ID), Brokers: []brokerJSON{}}
	for _, b := range c.Brokers {
		j.Brokers = append(j.Brokers, brokerJSON{b.ID, text(b.Host), b.Port, text(b.Rack)})
	}
	return proven(j, DecodeCluster)
}

// proven encodes a document and decodes it again: what could not be read is not stored.
func proven[T any](document any, decode func([]byte) (T, error)) ([]byte, error) {
	b, err := encodeJSON(document)
	if err != nil {
		return nil, err
	}
	_, err = decode(b)
	return b, err
}

// DecodeCluster reads the section "cluster".
func DecodeCluster(b []byte) (coldstream.Cluster, error) {
	var j clusterJSON
	if err := decodeJSON(b, &j); err != nil {
		return coldstream.Cluster{}, err
	}
	if j.Brokers == nil {
		return coldstream.Cluster{}, corruptf("cluster: a list is null")
	}
	c := coldstream.Cluster{ID: string(j.ClusterID), ControllerID: -1}
	for _, b := range j.Brokers {
		c.Brokers = append(c.Brokers, coldstream.Broker{ID: b.ID, Host: string(b.Host), Port: b.Port, Rack: string(b.Rack)})
	}
	return c, nil
}

// EncodeTopics writes the section "topics".
func EncodeTopics(topics []coldstream.Topic) ([]byte, error) {
	j := topicsJSON{Topics: []topicJSON{}}
	for i := range topics {
		t := &topics[i]
		topic := topicJSON{
			Name: text(t.Name), TopicID: text(t.ID.String()), Internal: t.Internal, Error: errorText(t.Err),
			Partitions: []partitionJSON{}, Configs: []configJSON{}, ConfigsError: errorText(t.ConfigsErr),
		}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, partitionJSON{p.ID, append([]int32{}, p.Replicas...)})
		}
		for _, c := range t.Configs {
			topic.Configs = append(topic.Configs, configJSON{text(c.Name), text(c.Value), text(c.Source), c.Sensitive})
		}
		j.Topics = append(j.Topics, topic)
	}
	return proven(j, DecodeTopics)
}

// DecodeTopics reads the section "topics".
func DecodeTopics(b []byte) ([]coldstream.Topic, error) {
	var j topicsJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if j.Topics == nil {
		return nil, corruptf("topics: a list is null")
	}
	var out []coldstream.Topic
	for i := range j.Topics {
		topic, err := j.Topics[i].topic()
		if err != nil {
			return nil, err
		}
		out = append(out, topic)
	}
	return out, nil
}

func (t *topicJSON) topic() (coldstream.Topic, error) {
	topic := coldstream.Topic{
		Name: string(t.Name), Internal: t.Internal, Err: textError(t.Error), ConfigsErr: textError(t.ConfigsError),
	}
	var err error
	if topic.ID, err = coldstream.ParseTopicID(string(t.TopicID)); err != nil {
		return topic, corruptf("topic %q: %v", t.Name, err)
	}
	if t.Partitions == nil || t.Configs == nil {
		return topic, corruptf("topic %q: a list is null", t.Name)
	}
	for i, p := range t.Partitions {
		if p.Partition != int32(i) || p.Replicas == nil {
			return topic, corruptf("topic %q: partition %d stands in place of %d", t.Name, p.Partition, i)
		}
		part := coldstream.Partition{ID: p.Partition, Leader: -1, LeaderEpoch: -1}
		part.Replicas = append(part.Replicas, p.Replicas...)
		topic.Partitions = append(topic.Partitions, part)
	}
	for _, c := range t.Configs {
		topic.Configs = append(topic.Configs, coldstream.Config{
			Name: string(c.Name), Value: string(c.Value), Source: string(c.Source), Sensitive: c.Sensitive,
		})
	}
	return topic, nil
}

// EncodeGroups writes the section "groups".
func EncodeGroups(groups []coldstream.Group) ([]byte, error) {
	j := groupsJSON{Groups: []groupJSON{}}
	for _, g := range groups {
		group := groupJSON{
			Group: text(g.Name), Type: text(g.Type), ProtocolType: text(g.ProtocolType),
			Error: errorText(g.Err), Offsets: []offsetJSON{},
		}
		for _, o := range g.Offsets {
			group.Offsets = append(group.Offsets, offsetJSON{text(o.Topic), o.Partition, o.Offset, o.LeaderEpoch, []byte(o.Metadata)})
		}
		j.Groups = append(j.Groups, group)
	}
	return proven(j, DecodeGroups)
}

// DecodeGroups reads the section "groups".
func DecodeGroups(b []byte) ([]coldstream.Group, error) {
	var j groupsJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if j.Groups == nil {
		return nil, corruptf("groups: a list is null")
	}
	var out []coldstream.Group
	for _, g := range j.Groups {
		if g.Offsets == nil {
			return nil, corruptf("group %q: a list is null", g.Group)
		}
		group := coldstream.Group{Name: string(g.Group), Type: string(g.Type), ProtocolType: string(g.ProtocolType), Err: textError(g.Error)}
		for _, o := range g.Offsets {
			if o.Metadata == nil {
				return nil, corruptf("group %q: metadata is null", g.Group)
			}
			group.Offsets = append(group.Offsets, coldstream.GroupOffset{
				TopicPartition: coldstream.TopicPartition{Topic: string(o.Topic), Partition: o.Partition},
				Offset:         o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: string(o.Metadata),
			})
		}
		out = append(out, group)
	}
	return out, nil
}

func errorText(err error) text {
	if err == nil {
		return ""
	}
	return text(err.Error())
}

func textError(t text) error {
	if t == "" {
		return nil
	}
	return errors.New(string(t))
}
