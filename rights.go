package coldstream

import "fmt"

// Right is what an authorizer allows a user: an operation on a resource, in the words of
// Kafka's own tool for ACLs.
type Right struct {
	Operation string // Read, Describe, AlterConfigs, …
	Resource  string // topic, group or cluster
	Name      string // of the topic or group
}

// The kinds of resources in a Right.
const (
	ResourceTopic   = "topic"
	ResourceGroup   = "group"
	ResourceCluster = "cluster"
)

// String says it in words: Read on topic orders.
func (r Right) String() string {
	if r.Resource == ResourceCluster {
		return r.Operation + " on the cluster"
	}
	return fmt.Sprintf("%s on %s %s", r.Operation, r.Resource, r.Name)
}

// DeniedError says which right is missing, and how it is granted. It wraps [ErrDenied].
type DeniedError struct {
	Right
	// Grant is the command that grants it.
	Grant string
	// Code is the broker's own word.
	Code string
	Err  error
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%v: needs %s (%s); grant it with: %s", ErrDenied, e.Right, e.Code, e.Grant)
}

func (e *DeniedError) Unwrap() []error { return []error{ErrDenied, e.Err} }
