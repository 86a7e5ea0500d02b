// Package administration hides how what a cluster kept beside topics and groups is brought
// back: what is missing is added, what differs is set, and nothing is taken away.
package administration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"coldstream"
)

// Target is the cluster that is changed. Each change is whole when its method returns nil.
type Target interface {
	CreateACL(ctx context.Context, acl coldstream.ACL) error
	SetQuota(ctx context.Context, quota coldstream.Quota) error
	SetResourceConfigs(ctx context.Context, resource coldstream.ResourceConfigs) error
	SetUser(ctx context.Context, user string, credential coldstream.ScramCredential, password string) error
}

// Change is one thing that would be changed. Was is empty where it is new.
type Change struct {
	Part    coldstream.AdministrationPart
	What    string
	Was     string
	Becomes string
	// User needs a password.
	User string

	apply func(ctx context.Context, target Target, password string) error
}

// Apply makes the change. The password is that of User.
func (c *Change) Apply(ctx context.Context, target Target, password string) error {
	return c.apply(ctx, target, password)
}

// LeftOut is something that was saved and is not brought back.
type LeftOut struct {
	Part   coldstream.AdministrationPart
	What   string
	Reason string
}

// Plan is what a restore would do.
type Plan struct {
	Changes []Change
	LeftOut []LeftOut
	// Same counts what is there already.
	Same int
	// Extra is what only the target has. It stays.
	Extra []Extra
}

// Extra is something that was not saved.
type Extra struct {
	Part coldstream.AdministrationPart
	What string
}

// Restorable are the parts that can be brought back.
func Restorable() []coldstream.AdministrationPart {
	return []coldstream.AdministrationPart{coldstream.PartACLs, coldstream.PartConfigs, coldstream.PartQuotas, coldstream.PartUsers}
}

// MakePlan compares what was saved with what the target has, which has these brokers. A part
// that one of them could not tell is an error: what is not known cannot be compared.
func MakePlan(saved, target *coldstream.Administration, brokers []coldstream.Broker, parts []coldstream.AdministrationPart) (*Plan, error) {
	p := &Plan{}
	for _, part := range parts {
		if err := saved.Errs[part]; err != nil {
			return nil, fmt.Errorf("the snapshot does not have the part %s: %w", part, err)
		}
		if err := target.Errs[part]; err != nil {
			return nil, fmt.Errorf("the cluster does not tell its %s: %w", part, err)
		}
		switch part {
		case coldstream.PartACLs:
			p.planACLs(saved.ACLs, target.ACLs)
		case coldstream.PartConfigs:
			p.planConfigs(saved.Configs, target.Configs, brokers)
		case coldstream.PartQuotas:
			p.planQuotas(saved.Quotas, target.Quotas)
		case coldstream.PartUsers:
			p.planUsers(saved.Users, target.Users)
		default:
			return nil, fmt.Errorf("part %s: %w", part, errors.ErrUnsupported)
		}
	}
	return p, nil
}

func (p *Plan) planACLs(saved, there []coldstream.ACL) {
	for _, acl := range saved {
		if slices.Contains(there, acl) {
			p.Same++
			continue
		}
		p.Changes = append(p.Changes, Change{
			Part: coldstream.PartACLs, What: aclText(&acl), Becomes: acl.Permission,
			apply: func(ctx context.Context, target Target, _ string) error { return target.CreateACL(ctx, acl) },
		})
	}
	for _, acl := range there {
		if !slices.Contains(saved, acl) {
			p.Extra = append(p.Extra, Extra{coldstream.PartACLs, acl.Permission + " " + aclText(&acl)})
		}
	}
}

func aclText(a *coldstream.ACL) string {
	return fmt.Sprintf("%s %s on %s %s %s from host %s", a.Principal, a.Operation, a.PatternType, a.ResourceType, a.ResourceName, a.Host)
}

func (p *Plan) planQuotas(saved, there []coldstream.Quota) {
	for _, quota := range saved {
		has := quotaOf(there, &quota)
		missing := coldstream.Quota{Entity: quota.Entity}
		was := []string{}
		for _, v := range quota.Values {
			at := slices.IndexFunc(has.Values, func(x coldstream.QuotaValue) bool { return x.Key == v.Key })
			switch {
			case at >= 0 && has.Values[at].Value == v.Value:
				p.Same++
				continue
			case at >= 0:
				was = append(was, limitText(has.Values[at]))
			}
			missing.Values = append(missing.Values, v)
		}
		if len(missing.Values) == 0 {
			continue
		}
		p.Changes = append(p.Changes, Change{
			Part: coldstream.PartQuotas, What: entityText(quota.Entity), Was: strings.Join(was, " "), Becomes: limitsText(missing.Values),
			apply: func(ctx context.Context, target Target, _ string) error { return target.SetQuota(ctx, missing) },
		})
	}
	for _, quota := range there {
		kept := quotaOf(saved, &quota)
		for _, v := range quota.Values {
			if !slices.ContainsFunc(kept.Values, func(x coldstream.QuotaValue) bool { return x.Key == v.Key }) {
				p.Extra = append(p.Extra, Extra{coldstream.PartQuotas, entityText(quota.Entity) + ": " + limitText(v)})
			}
		}
	}
}

// quotaOf finds the quota for the same entity; none has no values.
func quotaOf(quotas []coldstream.Quota, like *coldstream.Quota) coldstream.Quota {
	for _, q := range quotas {
		if coldstream.CompareQuotas(q, *like) == 0 {
			return q
		}
	}
	return coldstream.Quota{}
}

func entityText(entity []coldstream.QuotaEntity) string {
	var words []string
	for _, e := range entity {
		name := strconv.Quote(e.Name)
		if e.Default {
			name = "(default)"
		}
		words = append(words, e.Type+" "+name)
	}
	return strings.Join(words, ", ")
}

func limitText(v coldstream.QuotaValue) string {
	return v.Key + "=" + strconv.FormatFloat(v.Value, 'f', -1, 64)
}

func limitsText(values []coldstream.QuotaValue) string {
	var words []string
	for _, v := range values {
		words = append(words, limitText(v))
	}
	return strings.Join(words, " ")
}

func (p *Plan) planConfigs(saved, there []coldstream.ResourceConfigs, brokers []coldstream.Broker) {
	for _, r := range saved {
		if r.Type == "BROKER" && r.Name != "" && !slices.ContainsFunc(brokers, func(b coldstream.Broker) bool { return strconv.Itoa(int(b.ID)) == r.Name }) {
			p.LeftOut = append(p.LeftOut, LeftOut{coldstream.PartConfigs, resourceText(&r), "the cluster has no broker " + r.Name})
			continue
		}
		has := configsOf(there, &r)
		for _, c := range r.Configs {
			p.planConfig(&r, c, has)
		}
	}
	for _, r := range there {
		kept := configsOf(saved, &r)
		for _, c := range r.Configs {
			if _, is := kept[c.Name]; !is {
				p.Extra = append(p.Extra, Extra{coldstream.PartConfigs, resourceText(&r) + ": " + c.Name})
			}
		}
	}
}

func (p *Plan) planConfig(of *coldstream.ResourceConfigs, c coldstream.Config, has map[string]string) {
	was, is := has[c.Name]
	switch {
	case c.Sensitive:
		p.LeftOut = append(p.LeftOut, LeftOut{coldstream.PartConfigs, resourceText(of) + ": " + c.Name, "brokers never tell its value: set it by hand"})
	case is && was == c.Value:
		p.Same++
	default:
		change := Change{Part: coldstream.PartConfigs, What: resourceText(of), Becomes: c.Name + "=" + c.Value}
		if is {
			change.Was = c.Name + "=" + was
		}
		one := coldstream.ResourceConfigs{Type: of.Type, Name: of.Name, Configs: []coldstream.Config{c}}
		change.apply = func(ctx context.Context, target Target, _ string) error { return target.SetResourceConfigs(ctx, one) }
		p.Changes = append(p.Changes, change)
	}
}

func configsOf(resources []coldstream.ResourceConfigs, like *coldstream.ResourceConfigs) map[string]string {
	out := map[string]string{}
	for _, r := range resources {
		if coldstream.CompareResources(r, *like) == 0 {
			for _, c := range r.Configs {
				out[c.Name] = c.Value
			}
		}
	}
	return out
}

func resourceText(r *coldstream.ResourceConfigs) string {
	switch {
	case r.Type == "BROKER" && r.Name == "":
		return "all brokers"
	case r.Type == "BROKER":
		return "broker " + r.Name
	case r.Type == "GROUP_CONFIG":
		return "group " + r.Name
	case r.Type == "CLIENT_METRICS":
		return "client metrics subscription " + r.Name
	}
	return r.Type + " " + r.Name
}

func (p *Plan) planUsers(saved, there []coldstream.ScramUser) {
	has := map[string][]string{}
	for _, u := range there {
		has[u.Name] = mechanisms(&u)
	}
	for _, u := range saved {
		for _, c := range u.Credentials {
			if slices.Contains(has[u.Name], c.Mechanism) {
				p.Same++
				continue
			}
			p.Changes = append(p.Changes, Change{
				Part: coldstream.PartUsers, What: "user " + u.Name, Becomes: fmt.Sprintf("%s, %d iterations", c.Mechanism, c.Iterations), User: u.Name,
				apply: func(ctx context.Context, target Target, password string) error {
					return target.SetUser(ctx, u.Name, c, password)
				},
			})
		}
	}
	for _, u := range there {
		if !slices.ContainsFunc(saved, func(x coldstream.ScramUser) bool { return x.Name == u.Name }) {
			p.Extra = append(p.Extra, Extra{coldstream.PartUsers, "user " + u.Name})
		}
	}
}

func mechanisms(u *coldstream.ScramUser) (names []string) {
	for _, c := range u.Credentials {
		names = append(names, c.Mechanism)
	}
	return names
}
