package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// CreateACL adds one access control entry. One that is there already is no error.
func (c *Client) CreateACL(ctx context.Context, acl coldstream.ACL) error {
	creation := kmsg.NewCreateACLsRequestCreation()
	creation.ResourceName, creation.Principal, creation.Host = acl.ResourceName, acl.Principal, acl.Host
	var errs [4]error
	creation.ResourceType, errs[0] = kmsg.ParseACLResourceType(acl.ResourceType)
	creation.ResourcePatternType, errs[1] = kmsg.ParseACLResourcePatternType(acl.PatternType)
	creation.Operation, errs[2] = kmsg.ParseACLOperation(acl.Operation)
	creation.PermissionType, errs[3] = kmsg.ParseACLPermissionType(acl.Permission)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, creation)
	return c.patiently(ctx, func(ctx context.Context) error {
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		if len(resp.Results) != 1 {
			return fmt.Errorf("the answer is about %d ACLs", len(resp.Results))
		}
		return brokerError(resp.Results[0].ErrorCode, resp.Results[0].ErrorMessage)
	})
}

// SetQuota sets limits of one entity, and leaves its others alone.
func (c *Client) SetQuota(ctx context.Context, quota coldstream.Quota) error {
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for _, e := range quota.Entity {
		entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
		entity.Type = e.Type
		if !e.Default {
			entity.Name = kmsg.StringPtr(e.Name)
		}
		entry.Entity = append(entry.Entity, entity)
	}
	for _, v := range quota.Values {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value = v.Key, v.Value
		entry.Ops = append(entry.Ops, op)
	}
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	return c.patiently(ctx, func(ctx context.Context) error {
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		if len(resp.Entries) != 1 {
			return fmt.Errorf("the answer is about %d quotas", len(resp.Entries))
		}
		return brokerError(resp.Entries[0].ErrorCode, resp.Entries[0].ErrorMessage)
	})
}

// SetResourceConfigs sets configs of a broker, of all brokers, of a group or of a subscription
// of client metrics, and leaves its others alone.
func (c *Client) SetResourceConfigs(ctx context.Context, r coldstream.ResourceConfigs) error {
	kind, err := kmsg.ParseConfigResourceType(r.Type)
	if err != nil {
		return err
	}
	change := coldstream.ConfigChange{Set: map[string]string{}}
	for _, x := range r.Configs {
		change.Set[x.Name] = x.Value
	}
	req := newAlterConfigsRequest(kind, r.Name, change)
	return c.patiently(ctx, func(ctx context.Context) error {
		// The client sends what is about one broker to that broker.
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		if len(resp.Resources) != 1 {
			return fmt.Errorf("the answer is about %d things", len(resp.Resources))
		}
		return brokerError(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage)
	})
}

// SetUser makes a credential of a user for SCRAM logins. Only what the protocol makes of the
// password leaves this host.
func (c *Client) SetUser(ctx context.Context, user string, credential coldstream.ScramCredential, password string) error {
	upsert := kadm.UpsertSCRAM{User: user, Iterations: credential.Iterations, Password: password, Mechanism: kadm.ScramSha256}
	switch credential.Mechanism {
	case scramMechanism(1):
	case scramMechanism(2):
		upsert.Mechanism = kadm.ScramSha512
	default:
		return fmt.Errorf("mechanism %s is not known to this version of coldstream", credential.Mechanism)
	}
	return c.patiently(ctx, func(ctx context.Context) error {
		altered, err := c.adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{upsert})
		if err != nil {
			return requestError(err)
		}
		if result := altered[user]; result.Err != nil {
			return fmt.Errorf("%w (%s)", result.Err, result.ErrMessage)
		}
		return nil
	})
}
