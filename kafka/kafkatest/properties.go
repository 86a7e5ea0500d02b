package kafkatest

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listenerNames are the names of every node's listeners.
func (c *Cluster) listenerNames() []string {
	return append([]string{plainListener, controllerListener}, slices.Sorted(maps.Keys(c.cfg.Listeners))...)
}

// properties are a node's server.properties. Keys that a version does not know it ignores.
func (c *Cluster) properties(n *node) map[string]string {
	var voters, listen, advertised, protocols []string
	for _, other := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", other.id, address(other.ports[controllerListener])))
	}
	for _, name := range c.listenerNames() {
		listener := name + "://" + address(n.ports[name])
		listen = append(listen, listener)
		if addr, ok := c.cfg.Advertised[name]; ok {
			advertised = append(advertised, name+"://"+addr)
		} else if name != controllerListener {
			advertised = append(advertised, listener)
		}
		protocol := "PLAINTEXT"
		if p, ok := c.cfg.Listeners[name]; ok {
			protocol = p
		}
		protocols = append(protocols, name+":"+protocol)
	}
	replicas := strconv.Itoa(min(3, c.cfg.Nodes))
	properties := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        strconv.Itoa(n.id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      controllerListener,
		"inter.broker.listener.name":     plainListener,
		"listeners":                      strings.Join(listen, ","),
		"advertised.listeners":           strings.Join(advertised, ","),
		"listener.security.protocol.map": strings.Join(protocols, ","),
		"log.dirs":                       n.logDir(),

		// Topics are made by tests, and are as large as they say.
		"auto.create.topics.enable": "false",
		"num.partitions":            "1",
		// Retention is not for a test to wait for; one that is about it sets its own.
		"log.retention.check.interval.ms": "300000",

		// Internal topics: small, so that the first group or transaction starts quickly.
		"offsets.topic.num.partitions":                     "8",
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.num.partitions":             "4",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.num.partitions":     "4",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",

		// A node that was killed is missed, and let in again, after this and not after 9 s.
		"broker.session.timeout.ms":    "4000",
		"broker.heartbeat.interval.ms": "500",
	}
	maps.Copy(properties, c.cfg.Properties)
	maps.Copy(properties, c.cfg.NodeProperties[n.id])
	return properties
}

func (c *Cluster) writeProperties(n *node) error {
	properties := c.properties(n)
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&b, "%s=%s\n", key, escape.Replace(properties[key]))
	}
	if err := os.MkdirAll(n.logDir(), 0o755); err != nil {
		return err
	}
	return os.WriteFile(n.propertiesFile(), []byte(b.String()), 0o644)
}

// writeLogging makes warnings and errors of all versions (log4j 2 and its ancestor) go to stdout.
func (c *Cluster) writeLogging() error {
	log4j2 := `rootLogger.level=WARN
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %m (%c)%n
rootLogger.appenderRefs=c
rootLogger.appenderRef.c.ref=c
`
	log4j := `log4j.rootLogger=WARN, c
log4j.appender.c=org.apache.log4j.ConsoleAppender
log4j.appender.c.layout=org.apache.log4j.PatternLayout
log4j.appender.c.layout.ConversionPattern=[%d] %p %m (%c)%n
`
	return errors.Join(
		os.WriteFile(filepath.Join(c.dir, "log4j2.properties"), []byte(log4j2), 0o644),
		os.WriteFile(filepath.Join(c.dir, "log4j.properties"), []byte(log4j), 0o644),
	)
}

// newClusterID makes what StorageTool random-uuid would take a second for.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // an ID that began with a dash would be taken for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}
