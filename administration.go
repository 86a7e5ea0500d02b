package coldstream

import (
	"cmp"
	"context"
	"slices"
)

// Administration is what a cluster keeps beside topics and groups. Lists are sorted, so that
// equal content is equal. A list whose part could not be read is empty, and Errs says why.
type Administration struct {
	ACLs     []ACL
	Configs  []ResourceConfigs
	Features []Feature
	Quotas   []Quota
	Users    []ScramUser
	// Errs has the errors of parts that could not be read; one wraps [ErrDenied] where a right
	// is missing. A part that the brokers are too old to know is empty, and no error.
	Errs map[AdministrationPart]error
}

// AdministrationPart names a list of an [Administration].
type AdministrationPart string

// The parts.
const (
	PartACLs     AdministrationPart = "acls"
	PartConfigs  AdministrationPart = "configs"
	PartFeatures AdministrationPart = "features"
	PartQuotas   AdministrationPart = "quotas"
	PartUsers    AdministrationPart = "users"
)

// AdministrationParts are all parts, sorted.
func AdministrationParts() []AdministrationPart {
	return []AdministrationPart{PartACLs, PartConfigs, PartFeatures, PartQuotas, PartUsers}
}

// ACL is one access control entry, in the words of Kafka's protocol: TOPIC, LITERAL, READ, ALLOW.
type ACL struct {
	ResourceType string
	ResourceName string
	PatternType  string
	Principal    string
	Host         string
	Operation    string
	Permission   string
}

// ResourceConfigs are the configs that somebody set on one thing while the cluster ran: on a
// broker (type BROKER; the name of all brokers together is empty), a consumer group
// (GROUP_CONFIG) or a subscription of client metrics (CLIENT_METRICS).
type ResourceConfigs struct {
	Type    string
	Name    string
	Configs []Config // sorted by name
}

// Feature is a finalized feature of the cluster, as metadata.version.
type Feature struct {
	Name  string
	Level int16
}

// Quota is what one user, client ID or address, or a pair of these, may take.
type Quota struct {
	Entity []QuotaEntity // sorted by type
	Values []QuotaValue  // sorted by key
}

// QuotaEntity is one part of whom a quota is for.
type QuotaEntity struct {
	Type string // user, client-id or ip
	Name string
	// Default means all that have no quota of their own; Name is then empty.
	Default bool
}

// QuotaValue is a limit, as consumer_byte_rate.
type QuotaValue struct {
	Key   string
	Value float64
}

// ScramUser is a user of SCRAM logins. Brokers tell neither passwords nor what is made of them.
type ScramUser struct {
	Name        string
	Credentials []ScramCredential // sorted by mechanism
}

// ScramCredential says how a password was kept.
type ScramCredential struct {
	Mechanism  string // SCRAM-SHA-256 or SCRAM-SHA-512
	Iterations int32
}

// AdministrationReader is a source that can tell its administration.
type AdministrationReader interface {
	// Administration reads all parts, each for a limited time. The error is that of ctx.
	Administration(ctx context.Context) (*Administration, error)
}

// CompareACLs orders entries by resource, principal and all else.
func CompareACLs(a, b ACL) int {
	return cmp.Or(
		cmp.Compare(a.ResourceType, b.ResourceType), cmp.Compare(a.ResourceName, b.ResourceName), cmp.Compare(a.PatternType, b.PatternType),
		cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Permission, b.Permission))
}

// CompareResources orders things that have configs.
func CompareResources(a, b ResourceConfigs) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
}

// CompareQuotas orders quotas by whom they are for.
func CompareQuotas(a, b Quota) int {
	return slices.CompareFunc(a.Entity, b.Entity, func(x, y QuotaEntity) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.Name, y.Name), compareBools(x.Default, y.Default))
	})
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
