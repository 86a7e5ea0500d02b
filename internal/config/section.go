package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (p *parser) contexts(of entry) ([]context, error) {
	entries, err := p.mapping(of.node)
	if err != nil {
		return nil, err
	}
	var out []context
	for _, e := range entries {
		s, err := p.section(e.node, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, context{e.key, s})
	}
	return out, nil
}

// section reads keys of all commands, commands and topics; more are other keys that may stand there.
func (p *parser) section(node *yaml.Node, more []string) (section, error) {
	s := section{shared: map[string]Value{}, commands: map[string]map[string]Value{}, topics: map[string][]TopicValue{}}
	entries, err := p.mapping(node)
	if err != nil {
		return s, err
	}
	for _, e := range entries {
		switch {
		case slices.Contains(more, e.key):
		case e.key == commandsKey:
			err = p.commands(e, s.commands)
		case e.key == topicsKey:
			err = p.topics(e, s.topics)
		case slices.Contains(p.keys.Shared, e.key):
			s.shared[e.key], err = p.value(e)
		default:
			err = p.unknownKey(e, append(append([]string{commandsKey, topicsKey}, more...), p.keys.Shared...))
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

func (p *parser) unknownKey(e entry, names []string) error {
	if commands := p.commandsWith(e.key); len(commands) > 0 {
		return p.wrong(e.line, fmt.Sprintf("%q is for single commands only", e.key),
			"write it under commands, under the name of the command: "+strings.Join(commands, ", "))
	}
	return p.wrong(e.line, unknown("key", e.key), didYouMean(e.key, names))
}

// commandsWith are the commands that have a key.
func (p *parser) commandsWith(key string) []string {
	var out []string
	for _, command := range slices.Sorted(maps.Keys(p.keys.Commands)) {
		if slices.Contains(p.keys.Commands[command], key) {
			out = append(out, command)
		}
	}
	return out
}

func (p *parser) commands(of entry, into map[string]map[string]Value) error {
	entries, err := p.mapping(of.node)
	if err != nil {
		return err
	}
	for _, command := range entries {
		known, ok := p.keys.Commands[command.key]
		if !ok {
			return p.wrong(command.line, unknown("command", command.key), didYouMean(command.key, slices.Sorted(maps.Keys(p.keys.Commands))))
		}
		values, err := p.values(command, known)
		if err != nil {
			return err
		}
		into[command.key] = values
	}
	return nil
}

func (p *parser) topics(of entry, into map[string][]TopicValue) error {
	entries, err := p.mapping(of.node)
	if err != nil {
		return err
	}
	for _, topic := range entries {
		values, err := p.values(topic, p.keys.Topic)
		if err != nil {
			return err
		}
		for key, value := range values {
			into[key] = append(into[key], TopicValue{topic.key, value})
		}
	}
	return nil
}

// values are keys of which all are known.
func (p *parser) values(of entry, known []string) (map[string]Value, error) {
	entries, err := p.mapping(of.node)
	if err != nil {
		return nil, err
	}
	out := map[string]Value{}
	for _, e := range entries {
		if !slices.Contains(known, e.key) {
			return nil, p.wrong(e.line, unknown("key", e.key)+" of "+of.key, didYouMean(e.key, known))
		}
		if out[e.key], err = p.value(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// value is a plain value, or a list of them. A mapping is a list of NAME=VALUE.
func (p *parser) value(of entry) (Value, error) {
	v := Value{File: p.file, Line: of.line}
	add := func(before string, node *yaml.Node) error {
		if node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
			return p.wrong(node.Line, fmt.Sprintf("%q has no value", of.key), "leave the key out, or give it a value")
		}
		v.Texts = append(v.Texts, before+node.Value)
		return nil
	}
	switch of.node.Kind {
	case yaml.SequenceNode:
		v.IsList = true
		for _, node := range of.node.Content {
			if err := add("", node); err != nil {
				return v, err
			}
		}
	case yaml.MappingNode:
		v.IsList = true
		entries, err := p.mapping(of.node)
		if err != nil {
			return v, err
		}
		for _, e := range entries {
			if err := add(e.key+"=", e.node); err != nil {
				return v, err
			}
		}
	default:
		return v, add("", of.node)
	}
	if len(v.Texts) == 0 {
		return v, p.wrong(of.line, fmt.Sprintf("%q has no value", of.key), "leave the key out, or give it a value")
	}
	return v, nil
}
