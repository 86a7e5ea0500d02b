package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"coldstream"
)

// administrationReader fills one part.
type administrationReader func(ctx context.Context, a *coldstream.Administration) error

// Administration implements [coldstream.AdministrationReader].
func (c *Client) Administration(ctx context.Context) (*coldstream.Administration, error) {
	a := &coldstream.Administration{Errs: map[coldstream.AdministrationPart]error{}}
	var mu sync.Mutex
	var asking errgroup.Group
	for part, read := range map[coldstream.AdministrationPart]administrationReader{
		coldstream.PartACLs: c.readACLs, coldstream.PartConfigs: c.readConfigs, coldstream.PartFeatures: c.readFeatures,
		coldstream.PartQuotas: c.readQuotas, coldstream.PartUsers: c.readUsers,
	} {
		asking.Go(func() error {
			patient, cancel := context.WithTimeout(ctx, min(defaultsPatience, c.patience()))
			defer cancel()
			err := untilAnswered(patient, func(ctx context.Context) error { return read(ctx, a) })
			if err != nil && !isTooOld(err) {
				mu.Lock()
				defer mu.Unlock()
				a.Errs[part] = untemporary(err)
			}
			return nil
		})
	}
	_ = asking.Wait() // there are no errors
	return a, ctx.Err()
}

// untilAnswered asks again while the brokers say that it is too early.
func untilAnswered(ctx context.Context, ask func(ctx context.Context) error) error {
	for wait := firstRetryWait; ; wait *= 2 {
		err := ask(ctx)
		if err == nil || !errors.Is(err, errTemporary) || !pause(ctx, wait) {
			return err
		}
	}
}

// isTooOld says that no broker knows the request, so that there is nothing to know.
func isTooOld(err error) bool {
	return strings.Contains(err.Error(), tooOld) || errors.Is(err, kerr.UnsupportedVersion)
}

func (c *Client) readACLs(ctx context.Context, a *coldstream.Administration) error {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if errors.Is(kerr.ErrorForCode(resp.ErrorCode), kerr.SecurityDisabled) {
		return nil // a cluster without an authorizer has no entries
	}
	if err := brokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return fmt.Errorf("describe ACLs: %w", err)
	}
	a.ACLs = nil
	for _, r := range resp.Resources {
		for _, x := range r.ACLs {
			a.ACLs = append(a.ACLs, coldstream.ACL{
				ResourceType: r.ResourceType.String(), ResourceName: r.ResourceName, PatternType: r.ResourcePatternType.String(),
				Principal: x.Principal, Host: x.Host, Operation: x.Operation.String(), Permission: x.PermissionType.String(),
			})
		}
	}
	slices.SortFunc(a.ACLs, coldstream.CompareACLs)
	return nil
}

func (c *Client) readQuotas(ctx context.Context, a *coldstream.Administration) error {
	resp, err := kmsg.NewPtrDescribeClientQuotasRequest().RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if err := brokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return fmt.Errorf("describe client quotas: %w", err)
	}
	a.Quotas = nil
	for _, entry := range resp.Entries {
		var q coldstream.Quota
		for _, e := range entry.Entity {
			q.Entity = append(q.Entity, coldstream.QuotaEntity{Type: e.Type, Name: text(e.Name), Default: e.Name == nil})
		}
		for _, v := range entry.Values {
			q.Values = append(q.Values, coldstream.QuotaValue{Key: v.Key, Value: v.Value})
		}
		slices.SortFunc(q.Entity, func(x, y coldstream.QuotaEntity) int { return cmp.Compare(x.Type, y.Type) })
		slices.SortFunc(q.Values, func(x, y coldstream.QuotaValue) int { return cmp.Compare(x.Key, y.Key) })
		a.Quotas = append(a.Quotas, q)
	}
	slices.SortFunc(a.Quotas, coldstream.CompareQuotas)
	return nil
}

// scramMechanism names a mechanism by its number in the protocol.
func scramMechanism(n int8) string {
	switch n {
	case 1:
		return "SCRAM-SHA-256"
	case 2:
		return "SCRAM-SHA-512"
	}
	return fmt.Sprintf("SCRAM-%d", n)
}

func (c *Client) readUsers(ctx context.Context, a *coldstream.Administration) error {
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	// Empty and null both mean all. A broker that has to deny the request fails at null, though
	// (DescribeUserScramCredentialsRequest.getErrorResponse), and ends the connection without an answer.
	req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if err := brokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return fmt.Errorf("describe SCRAM users: %w", err)
	}
	a.Users = nil
	for _, r := range resp.Results {
		if err := brokerError(r.ErrorCode, r.ErrorMessage); err != nil {
			return fmt.Errorf("describe SCRAM user %q: %w", r.User, err)
		}
		u := coldstream.ScramUser{Name: r.User}
		for _, x := range r.CredentialInfos {
			u.Credentials = append(u.Credentials, coldstream.ScramCredential{Mechanism: scramMechanism(x.Mechanism), Iterations: x.Iterations})
		}
		slices.SortFunc(u.Credentials, func(x, y coldstream.ScramCredential) int { return cmp.Compare(x.Mechanism, y.Mechanism) })
		a.Users = append(a.Users, u)
	}
	slices.SortFunc(a.Users, func(x, y coldstream.ScramUser) int { return cmp.Compare(x.Name, y.Name) })
	return nil
}

func (c *Client) readFeatures(ctx context.Context, a *coldstream.Administration) error {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return fmt.Errorf("read features: %w", err)
	}
	a.Features = nil
	for _, f := range resp.FinalizedFeatures {
		a.Features = append(a.Features, coldstream.Feature{Name: f.Name, Level: f.MaxVersionLevel})
	}
	slices.SortFunc(a.Features, func(x, y coldstream.Feature) int { return cmp.Compare(x.Name, y.Name) })
	return nil
}

// readConfigs reads what was set on brokers, on all of them together, on groups and on
// subscriptions of client metrics.
func (c *Client) readConfigs(ctx context.Context, a *coldstream.Administration) error {
	cluster, err := c.brokers(ctx)
	if err != nil {
		return err
	}
	var found []coldstream.ResourceConfigs
	for i, broker := range cluster.Brokers {
		names := []string{strconv.Itoa(int(broker.NodeID))}
		if i == 0 {
			names = append(names, "") // what is set for all is the same everywhere
		}
		for _, name := range names {
			r, err := c.configsSetOn(ctx, broker.NodeID, kmsg.ConfigResourceTypeBroker, name)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
	}
	others, err := c.configResources(ctx)
	if err != nil {
		return err
	}
	for _, x := range others {
		r, err := c.configsSetOn(ctx, cluster.Brokers[0].NodeID, kmsg.ConfigResourceType(x.Type), x.Name)
		if err != nil {
			return err
		}
		found = append(found, r)
	}
	a.Configs = slices.DeleteFunc(found, func(r coldstream.ResourceConfigs) bool { return len(r.Configs) == 0 })
	slices.SortFunc(a.Configs, coldstream.CompareResources)
	return nil
}

// configResources lists groups and subscriptions that have configs; none where brokers do not
// know the request (before Kafka 4.1).
func (c *Client) configResources(ctx context.Context) ([]kmsg.ListConfigResourcesResponseConfigResource, error) {
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeClientMetrics), int8(kmsg.ConfigResourceTypeGroupConfig)}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		if err = requestError(err); isTooOld(err) {
			return nil, nil
		}
		return nil, err
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return nil, fmt.Errorf("list things that have configs: %w", err)
	}
	return resp.ConfigResources, nil
}

// configsSetOn are the configs that were set on a thing while the cluster ran.
func (c *Client) configsSetOn(ctx context.Context, broker int32, kind kmsg.ConfigResourceType, name string) (coldstream.ResourceConfigs, error) {
	r := coldstream.ResourceConfigs{Type: kind.String(), Name: name}
	described, err := c.describeAt(ctx, broker, newDescribeConfigsRequest(kind, name))
	if err != nil {
		return r, err
	}
	for _, entry := range described {
		if !isSetOn(kind, name, entry.Source) {
			continue
		}
		r.Configs = append(r.Configs, coldstream.Config{Name: entry.Name, Value: text(entry.Value), Source: entry.Source.String(), Sensitive: entry.IsSensitive})
	}
	slices.SortFunc(r.Configs, func(x, y coldstream.Config) int { return cmp.Compare(x.Name, y.Name) })
	return r, nil
}

// isSetOn tells what is a thing's own from what it has from elsewhere.
func isSetOn(kind kmsg.ConfigResourceType, name string, source kmsg.ConfigSource) bool {
	switch source {
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return kind == kmsg.ConfigResourceTypeBroker && name != ""
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return kind == kmsg.ConfigResourceTypeBroker && name == ""
	case kmsg.ConfigSourceClientMetricsConfig, kmsg.ConfigSourceGroupConfig:
		return true
	}
	return false
}
