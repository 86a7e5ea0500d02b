package kafka

import (
	"slices"

	"coldstream"
)

// A Job is what a user needs rights for.
type Job string

// The jobs.
const (
	JobBackup  Job = "backup"
	JobRestore Job = "restore"
	JobRun     Job = "run"
)

// AnyName stands for all topics or groups in a right.
const AnyName = "*"

// Need is a right that a job takes, and what goes without it.
type Need struct {
	coldstream.Right
	// Prefixed says that Name is how names begin.
	Prefixed bool
	// Without is what becomes of the job without the right.
	Without string
}

// NamePattern is a name of topics, as ACLs have them.
type NamePattern struct {
	Name     string
	Prefixed bool
}

// Needs are the rights that a job takes on topics; on all of them if none is named. With
// Kafka's own authorizer whoever has Read, Write, Delete or Alter has Describe too.
func Needs(job Job, topics []NamePattern) []Need {
	if len(topics) == 0 {
		topics = []NamePattern{{Name: AnyName}}
	}
	onTopics := []Need{
		onTopic("Describe", "the topic is not seen"),
		onTopic("Read", "its records are not saved"),
		onTopic("DescribeConfigs", "its configs are not saved"),
	}
	others := []Need{
		onTopicNamed("Describe", coldstream.OffsetsTopic, "consumer groups that are out of reach are not noticed"),
		onGroups("Describe", "offsets of consumer groups are not seen"),
		onCluster("Describe", "brokers leave consumer groups out and do not say so"),
	}
	if job == JobRestore {
		onTopics = []Need{
			onTopic("Describe", "whether the topic is there is not seen"),
			onTopic("Create", "a topic that is missing is not made"),
			onTopic("Write", "no records are written"),
			onTopic("AlterConfigs", "the topic keeps the configs of the restore"),
			onTopic("DescribeConfigs", "configs that a topic had before are not seen"),
			onTopic("Delete", "records in front of the log's start stay"),
			onTopic("Read", "offsets of consumer groups are not committed"),
		}
		others = append([]Need{onGroups("Read", "offsets of consumer groups are not committed")}, others...)
		others = append(others, onCluster("DescribeConfigs", "what topics have from their brokers is not compared"))
	}
	var out []Need
	for _, topic := range topics {
		for _, need := range onTopics {
			need.Name, need.Prefixed = topic.Name, topic.Prefixed
			out = append(out, need)
		}
	}
	return slices.Concat(out, others)
}

func onTopic(operation, without string) Need { return onTopicNamed(operation, "", without) }

func onTopicNamed(operation, name, without string) Need {
	return Need{Right: coldstream.Right{Operation: operation, Resource: coldstream.ResourceTopic, Name: name}, Without: without}
}

func onGroups(operation, without string) Need {
	return Need{Right: coldstream.Right{Operation: operation, Resource: coldstream.ResourceGroup, Name: AnyName}, Without: without}
}

func onCluster(operation, without string) Need {
	return Need{Right: coldstream.Right{Operation: operation, Resource: coldstream.ResourceCluster}, Without: without}
}
