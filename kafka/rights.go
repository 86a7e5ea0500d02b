package kafka

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"coldstream"
	"coldstream/internal/terminal"
)

// lacks makes an error that a request was denied say for which right, and how to grant it.
// Other errors stay as they are.
func (c *Client) lacks(err error, right coldstream.Right) error {
	var named *coldstream.DeniedError
	if !errors.Is(err, coldstream.ErrDenied) || errors.As(err, &named) {
		return err
	}
	denied := &coldstream.DeniedError{Right: right, Grant: c.grant(right), Code: "it is not among the rights that the broker tells", Err: err}
	var code *kerr.Error
	if errors.As(err, &code) {
		denied.Code = code.Message
	}
	return denied
}

func (c *Client) lacksOnTopic(err error, operation, topic string) error {
	return c.lacks(err, coldstream.Right{Operation: operation, Resource: coldstream.ResourceTopic, Name: topic})
}

func (c *Client) lacksOnGroup(err error, operation, group string) error {
	return c.lacks(err, coldstream.Right{Operation: operation, Resource: coldstream.ResourceGroup, Name: group})
}

func (c *Client) lacksOnCluster(err error, operation string) error {
	return c.lacks(err, coldstream.Right{Operation: operation, Resource: coldstream.ResourceCluster})
}

// writtenTopic is a topic that is to be written to, as far as one is known.
func (c *Client) writtenTopic() string {
	if topic := c.written.Load(); topic != nil {
		return *topic
	}
	return AnyName
}

// grant is the line for Kafka's tool that grants a right to the user that we log in as.
func (c *Client) grant(right coldstream.Right) string {
	return GrantLine(strings.Join(c.seeds, ","), c.cfg.Auth.Principal(), right)
}

// GrantLine is the line for Kafka's tool that grants a right.
func GrantLine(bootstrap, principal string, right coldstream.Right) string {
	words := []string{
		"kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "ADMIN.properties",
		"--add", "--allow-principal", terminal.Quote(principal), "--operation", right.Operation, "--" + right.Resource,
	}
	if right.Resource != coldstream.ResourceCluster {
		words = append(words, terminal.Quote(right.Name))
	}
	return strings.Join(words, " ")
}
