package format

import (
	"encoding/json"
	"errors"

	"coldstream"
)

// The sections hold what the cluster said of itself, as JSON. What changes all the time
// without meaning anything for a restore (leaders, leader epochs) is not in them, so that
// equal content is stored once.

type clusterJSON struct {
	ClusterID string       `json:"cluster_id"`
	Brokers   []brokerJSON `json:"brokers"`
}

type brokerJSON struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
	Rack string `json:"rack,omitempty"`
}

type topicJSON struct {
	Name         string          `json:"name"`
	TopicID      string          `json:"topic_id"`
	Internal     bool            `json:"internal"`
	Partitions   []partitionJSON `json:"partitions"`
	Configs      []configJSON    `json:"configs"`
	ConfigsError string          `json:"configs_error,omitempty"`
}

type partitionJSON struct {
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

type configJSON struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Source    string `json:"source"`
	Sensitive bool   `json:"sensitive,omitempty"`
}

type groupJSON struct {
	Group        string       `json:"group"`
	Type         string       `json:"type"`
	ProtocolType string       `json:"protocol_type"`
	Error        string       `json:"error,omitempty"`
	Offsets      []offsetJSON `json:"offsets"`
}

// offsetJSON keeps the metadata's bytes: they need not be UTF-8.
type offsetJSON struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Offset      int64  `json:"offset"`
	LeaderEpoch int32  `json:"leader_epoch"`
	Metadata    []byte `json:"metadata"`
}

// EncodeCluster writes the section "cluster".
func EncodeCluster(c *coldstream.Cluster) ([]byte, error) {
	j := clusterJSON{ClusterID: c.ID, Brokers: []brokerJSON{}}
	for _, b := range c.Brokers {
		j.Brokers = append(j.Brokers, brokerJSON(b))
	}
	return json.Marshal(j)
}

// DecodeCluster reads the section "cluster".
func DecodeCluster(b []byte) (coldstream.Cluster, error) {
	var j clusterJSON
	if err := strictJSON(b, &j); err != nil {
		return coldstream.Cluster{}, err
	}
	c := coldstream.Cluster{ID: j.ClusterID, ControllerID: -1}
	for _, b := range j.Brokers {
		c.Brokers = append(c.Brokers, coldstream.Broker(b))
	}
	return c, nil
}

// EncodeTopics writes the section "topics".
func EncodeTopics(topics []coldstream.Topic) ([]byte, error) {
	list := []topicJSON{}
	for i := range topics {
		t := &topics[i]
		j := topicJSON{
			Name: t.Name, TopicID: t.ID.String(), Internal: t.Internal,
			Partitions: []partitionJSON{}, Configs: []configJSON{}, ConfigsError: errorText(t.ConfigsErr),
		}
		for _, p := range t.Partitions {
			j.Partitions = append(j.Partitions, partitionJSON{p.ID, p.Replicas})
		}
		for _, c := range t.Configs {
			j.Configs = append(j.Configs, configJSON(c))
		}
		list = append(list, j)
	}
	return json.Marshal(map[string]any{"topics": list})
}

// DecodeTopics reads the section "topics".
func DecodeTopics(b []byte) ([]coldstream.Topic, error) {
	var j struct {
		Topics []topicJSON `json:"topics"`
	}
	if err := strictJSON(b, &j); err != nil {
		return nil, err
	}
	var out []coldstream.Topic
	for _, t := range j.Topics {
		id, err := coldstream.ParseTopicID(t.TopicID)
		if err != nil {
			return nil, corruptf("topic %q: %v", t.Name, err)
		}
		topic := coldstream.Topic{Name: t.Name, ID: id, Internal: t.Internal, ConfigsErr: textError(t.ConfigsError)}
		for i, p := range t.Partitions {
			if p.Partition != int32(i) {
				return nil, corruptf("topic %q: partition %d stands in place of %d", t.Name, p.Partition, i)
			}
			topic.Partitions = append(topic.Partitions, coldstream.Partition{ID: p.Partition, Leader: -1, LeaderEpoch: -1, Replicas: p.Replicas})
		}
		for _, c := range t.Configs {
			topic.Configs = append(topic.Configs, coldstream.Config(c))
		}
		out = append(out, topic)
	}
	return out, nil
}

// EncodeGroups writes the section "groups". A group's state at the time is not kept.
func EncodeGroups(groups []coldstream.Group) ([]byte, error) {
	list := []groupJSON{}
	for _, g := range groups {
		j := groupJSON{Group: g.Name, Type: g.Type, ProtocolType: g.ProtocolType, Error: errorText(g.Err), Offsets: []offsetJSON{}}
		for _, o := range g.Offsets {
			j.Offsets = append(j.Offsets, offsetJSON{o.Topic, o.Partition, o.Offset, o.LeaderEpoch, []byte(o.Metadata)})
		}
		list = append(list, j)
	}
	return json.Marshal(map[string]any{"groups": list})
}

// DecodeGroups reads the section "groups".
func DecodeGroups(b []byte) ([]coldstream.Group, error) {
	var j struct {
		Groups []groupJSON `json:"groups"`
	}
	if err := strictJSON(b, &j); err != nil {
		return nil, err
	}
	var out []coldstream.Group
	for _, g := range j.Groups {
		group := coldstream.Group{Name: g.Group, Type: g.Type, ProtocolType: g.ProtocolType, Err: textError(g.Error)}
		for _, o := range g.Offsets {
			group.Offsets = append(group.Offsets, coldstream.GroupOffset{
				TopicPartition: coldstream.TopicPartition{Topic: o.Topic, Partition: o.Partition},
				Offset:         o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: string(o.Metadata),
			})
		}
		out = append(out, group)
	}
	return out, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func textError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}
