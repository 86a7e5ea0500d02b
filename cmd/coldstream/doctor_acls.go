package main

import (
	"fmt"
	"slices"
	"strings"

	"coldstream"
	"coldstream/internal/terminal"
	"coldstream/kafka"
)

// grants are the rights of one user, as several tools want them.
type grants struct {
	bootstrap, principal string
	needs                []kafka.Need
}

type aclsDocument struct {
	header
	For       string        `json:"for"`
	Principal string        `json:"principal"`
	ACLs      []aclDocument `json:"acls"`
	KafkaACLs []string      `json:"kafka_acls"`
	Strimzi   string        `json:"strimzi"`
	Confluent []string      `json:"confluent"`
	MSK       string        `json:"msk"`
	Redpanda  []string      `json:"redpanda"`
}

type aclDocument struct {
	Operation    string `json:"operation"`
	ResourceType string `json:"resource_type"`
	ResourceName string `json:"resource_name"`
	PatternType  string `json:"pattern_type"`
}

func (g *grants) document(job string) aclsDocument {
	d := aclsDocument{
		header: header{SchemaVersion: schemaVersion}, For: job, Principal: g.principal,
		KafkaACLs: g.kafkaACLs(), Strimzi: strings.Join(g.strimzi(), "\n"), Confluent: g.confluent(),
		MSK: strings.Join(g.msk(), "\n"), Redpanda: g.redpanda(),
	}
	for _, need := range g.needs {
		d.ACLs = append(d.ACLs, aclDocument{need.Operation, need.Resource, resourceName(need), patternType(need)})
	}
	return d
}

func resourceName(need kafka.Need) string {
	if need.Resource == coldstream.ResourceCluster {
		return "kafka-cluster"
	}
	return need.Name
}

func patternType(need kafka.Need) string {
	if need.Prefixed {
		return "prefixed"
	}
	return "literal"
}

// lines are all forms for people, the one for Kafka's own tool first.
func (g *grants) lines() []string {
	out := g.kafkaACLs()
	section := func(title string, lines []string) {
		out = append(out, "", "# "+title)
		out = append(out, lines...)
	}
	section("Strimzi: a KafkaUser (authentication as your listener has it)", g.strimzi())
	section("Confluent Cloud", g.confluent())
	section("Amazon MSK with IAM: a policy (with SCRAM or mutual TLS take the lines for kafka-acls.sh)", g.msk())
	section("Redpanda", g.redpanda())
	return out
}

// byResource joins the operations on one resource, in order.
func (g *grants) byResource() (resources []kafka.Need, operations map[coldstream.Right][]string) {
	operations = map[coldstream.Right][]string{}
	for _, need := range g.needs {
		key := coldstream.Right{Resource: need.Resource, Name: need.Name}
		if operations[key] == nil {
			resources = append(resources, need)
		}
		operations[key] = append(operations[key], need.Operation)
	}
	return resources, operations
}

func (g *grants) operationsOf(operations map[coldstream.Right][]string, need kafka.Need) []string {
	return operations[coldstream.Right{Resource: need.Resource, Name: need.Name}]
}

func (g *grants) kafkaACLs() []string {
	var out []string
	resources, operations := g.byResource()
	for _, need := range resources {
		line := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --command-config ADMIN.properties --add --allow-principal %s", g.bootstrap, terminal.Quote(g.principal))
		for _, operation := range g.operationsOf(operations, need) {
			line += " --operation " + operation
		}
		line += " --" + need.Resource
		if need.Resource != coldstream.ResourceCluster {
			line += " " + terminal.Quote(need.Name)
		}
		if need.Prefixed {
			line += " --resource-pattern-type prefixed"
		}
		out = append(out, line)
	}
	return out
}

func (g *grants) user() string { return strings.TrimPrefix(g.principal, "User:") }

func (g *grants) strimzi() []string {
	out := []string{
		"apiVersion: kafka.strimzi.io/v1beta2", "kind: KafkaUser", "metadata:", "  name: " + g.user(),
		"  labels: {strimzi.io/cluster: NAME-OF-THE-CLUSTER}", "spec:", "  authorization:", "    type: simple", "    acls:",
	}
	resources, operations := g.byResource()
	for _, need := range resources {
		resource := fmt.Sprintf("{type: %s}", need.Resource)
		if need.Resource != coldstream.ResourceCluster {
			kind := patternType(need)
			if need.Prefixed {
				kind = "prefix"
			}
			resource = fmt.Sprintf("{type: %s, name: %q, patternType: %s}", need.Resource, need.Name, kind)
		}
		out = append(out, "      - resource: "+resource, "        operations: ["+strings.Join(g.operationsOf(operations, need), ", ")+"]")
	}
	return out
}

func (g *grants) confluent() []string {
	var out []string
	resources, operations := g.byResource()
	for _, need := range resources {
		var words []string
		for _, operation := range g.operationsOf(operations, need) {
			words = append(words, kebab(operation))
		}
		line := fmt.Sprintf("confluent kafka acl create --allow --service-account %s --operations %s", terminal.Quote(g.user()), strings.Join(words, ","))
		switch need.Resource {
		case coldstream.ResourceCluster:
			line += " --cluster-scope"
		case coldstream.ResourceGroup:
			line += " --consumer-group " + terminal.Quote(need.Name)
		default:
			line += " --topic " + terminal.Quote(need.Name)
		}
		if need.Prefixed {
			line += " --prefix"
		}
		out = append(out, line)
	}
	return out
}

// kebab writes DescribeConfigs as describe-configs.
func kebab(operation string) string {
	var b strings.Builder
	for i, r := range operation {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func (g *grants) redpanda() []string {
	var out []string
	resources, operations := g.byResource()
	for _, need := range resources {
		var words []string
		for _, operation := range g.operationsOf(operations, need) {
			words = append(words, strings.ReplaceAll(kebab(operation), "-", "_"))
		}
		line := fmt.Sprintf("rpk security acl create --allow-principal %s --operation %s", terminal.Quote(g.principal), strings.Join(words, ","))
		switch need.Resource {
		case coldstream.ResourceCluster:
			line += " --cluster"
		default:
			line += " --" + need.Resource + " " + terminal.Quote(need.Name)
		}
		if need.Prefixed {
			line += " --resource-pattern-type prefixed"
		}
		out = append(out, line)
	}
	return out
}

func (g *grants) writes() bool {
	return slices.ContainsFunc(g.needs, func(need kafka.Need) bool { return need.Operation == "Write" })
}

// msk is a policy of IAM, whose actions have names of their own.
func (g *grants) msk() []string {
	actions := map[string]map[string]string{
		coldstream.ResourceTopic: {
			"Describe": "DescribeTopic", "Read": "ReadData", "DescribeConfigs": "DescribeTopicDynamicConfiguration", "Create": "CreateTopic",
			"Write": "WriteData", "AlterConfigs": "AlterTopicDynamicConfiguration", "Delete": "DeleteTopic",
		},
		coldstream.ResourceGroup:   {"Describe": "DescribeGroup", "Read": "AlterGroup"},
		coldstream.ResourceCluster: {"Describe": "DescribeCluster"},
	}
	out := []string{`{"Version": "2012-10-17", "Statement": [`, `  {"Effect": "Allow", "Action": ["kafka-cluster:Connect"], "Resource": "arn:aws:kafka:REGION:ACCOUNT:cluster/CLUSTER/*"},`}
	resources, operations := g.byResource()
	for i, need := range resources {
		var names []string
		for _, operation := range g.operationsOf(operations, need) {
			if action := actions[need.Resource][operation]; action != "" {
				names = append(names, fmt.Sprintf(`"kafka-cluster:%s"`, action))
			}
		}
		resource := "arn:aws:kafka:REGION:ACCOUNT:" + need.Resource + "/CLUSTER/*"
		if need.Resource != coldstream.ResourceCluster {
			name := need.Name
			if need.Prefixed {
				name += "*"
			}
			resource += "/" + name
		}
		end := "},"
		if i == len(resources)-1 {
			end = "}"
		}
		out = append(out, fmt.Sprintf(`  {"Effect": "Allow", "Action": [%s], "Resource": "%s"%s`, strings.Join(names, ", "), resource, end))
	}
	if g.writes() { // InitProducerId, which Kafka itself allows to who may write to a topic
		out[len(out)-1] += ","
		out = append(out, `  {"Effect": "Allow", "Action": ["kafka-cluster:WriteDataIdempotently"], "Resource": "arn:aws:kafka:REGION:ACCOUNT:cluster/CLUSTER/*"}`)
	}
	return append(out, "]}")
}
