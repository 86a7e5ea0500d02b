package main

import (
	"fmt"
	"strings"

	"coldstream/restore"
)

// sayConfigs names what topics have otherwise than at the source. Topics that have the same
// to say share a line.
func sayConfigs(e *env, r *restore.Result) {
	lines := groupedLines{}
	for _, d := range r.ConfigsDiffer {
		what := "is left as it is"
		if d.Set {
			what = "is set as at the source"
		}
		lines.add(d.Topic, fmt.Sprintf("%s %s: it was %s at the source (%s), and is %s here (%s)",
			d.Config, what, shownValue(d.SourceValue), sourceName(d.SourceSource), shownValue(d.TargetValue), sourceName(d.TargetSource)))
	}
	for _, c := range r.ConfigsLeftOut {
		lines.add(c.Topic, fmt.Sprintf("config %s=%s is left out: %s", c.Config, c.Value, c.Reason))
	}
	lines.print(e)
	for _, n := range r.NotChecked {
		e.note("not checked: %s", n)
	}
}

// groupedLines are lines about topics, in the order in which they came up.
type groupedLines struct {
	order  []string
	topics map[string][]string
}

func (g *groupedLines) add(topic, line string) {
	if g.topics == nil {
		g.topics = map[string][]string{}
	}
	if len(g.topics[line]) == 0 {
		g.order = append(g.order, line)
	}
	g.topics[line] = append(g.topics[line], topic)
}

func (g *groupedLines) print(e *env) {
	for _, line := range g.order {
		word := "topics"
		if len(g.topics[line]) == 1 {
			word = "topic"
		}
		e.note("%s %s: %s", word, listNames(g.topics[line]), line)
	}
}

func shownValue(value string) string {
	if value == "" {
		return "empty"
	}
	return value
}

// sourceName says in words where Kafka has a config from, or several brokers have it from.
func sourceName(sources string) string {
	var names []string
	for source := range strings.SplitSeq(sources, ", ") {
		names = append(names, oneSourceName(source))
	}
	return strings.Join(names, ", ")
}

func oneSourceName(source string) string {
	switch source {
	case "":
		return "from its brokers"
	case "DYNAMIC_TOPIC_CONFIG":
		return "the topic's own"
	case "DYNAMIC_BROKER_CONFIG":
		return "set on a broker"
	case "DYNAMIC_DEFAULT_BROKER_CONFIG":
		return "set on all brokers"
	case "STATIC_BROKER_CONFIG":
		return "in a broker's file"
	case "DEFAULT_CONFIG":
		return "Kafka's default"
	}
	return source
}
