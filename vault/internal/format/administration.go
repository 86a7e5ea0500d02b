package format

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"coldstream"
)

type administrationJSON struct {
	ACLs     []aclJSON      `json:"acls"`
	Configs  []resourceJSON `json:"configs"`
	Features []featureJSON  `json:"features"`
	Quotas   []quotaJSON    `json:"quotas"`
	Users    []userJSON     `json:"users"`
	Errors   []partJSON     `json:"errors"`
}

type aclJSON struct {
	ResourceType text `json:"resource_type"`
	ResourceName text `json:"resource_name"`
	PatternType  text `json:"pattern_type"`
	Principal    text `json:"principal"`
	Host         text `json:"host"`
	Operation    text `json:"operation"`
	Permission   text `json:"permission"`
}

type resourceJSON struct {
	Type    text         `json:"type"`
	Name    text         `json:"name"`
	Configs []configJSON `json:"configs"`
}

type featureJSON struct {
	Name  text  `json:"name"`
	Level int16 `json:"level"`
}

type quotaJSON struct {
	Entity []entityJSON `json:"entity"`
	Values []limitJSON  `json:"values"`
}

type entityJSON struct {
	Type    text `json:"type"`
	Name    text `json:"name"`
	Default bool `json:"default,omitempty"`
}

// limitJSON has the value as text: the shortest decimal that is the same float64.
type limitJSON struct {
	Key   text `json:"key"`
	Value text `json:"value"`
}

type userJSON struct {
	User        text             `json:"user"`
	Credentials []credentialJSON `json:"credentials"`
}

type credentialJSON struct {
	Mechanism  text  `json:"mechanism"`
	Iterations int32 `json:"iterations"`
}

type partJSON struct {
	Part  text `json:"part"`
	Error text `json:"error"`
}

// EncodeAdministration writes the section "administration".
func EncodeAdministration(a *coldstream.Administration) ([]byte, error) {
	j := administrationJSON{[]aclJSON{}, []resourceJSON{}, []featureJSON{}, []quotaJSON{}, []userJSON{}, []partJSON{}}
	for _, x := range a.ACLs {
		j.ACLs = append(j.ACLs, aclJSON{
			text(x.ResourceType), text(x.ResourceName), text(x.PatternType), text(x.Principal), text(x.Host), text(x.Operation), text(x.Permission),
		})
	}
	for _, x := range a.Configs {
		r := resourceJSON{text(x.Type), text(x.Name), []configJSON{}}
		for _, c := range x.Configs {
			r.Configs = append(r.Configs, configJSON{text(c.Name), text(c.Value), text(c.Source), c.Sensitive})
		}
		j.Configs = append(j.Configs, r)
	}
	for _, x := range a.Features {
		j.Features = append(j.Features, featureJSON{text(x.Name), x.Level})
	}
	for _, x := range a.Quotas {
		q := quotaJSON{[]entityJSON{}, []limitJSON{}}
		for _, e := range x.Entity {
			q.Entity = append(q.Entity, entityJSON{text(e.Type), text(e.Name), e.Default})
		}
		for _, v := range x.Values {
			q.Values = append(q.Values, limitJSON{text(v.Key), text(decimal(v.Value))})
		}
		j.Quotas = append(j.Quotas, q)
	}
	for _, x := range a.Users {
		u := userJSON{text(x.Name), []credentialJSON{}}
		for _, c := range x.Credentials {
			u.Credentials = append(u.Credentials, credentialJSON{text(c.Mechanism), c.Iterations})
		}
		j.Users = append(j.Users, u)
	}
	for _, part := range coldstream.AdministrationParts() {
		if err := a.Errs[part]; err != nil {
			j.Errors = append(j.Errors, partJSON{text(part), errorText(err)})
		}
	}
	return proven(j, DecodeAdministration)
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// DecodeAdministration reads the section "administration".
func DecodeAdministration(b []byte) (*coldstream.Administration, error) {
	var j administrationJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if j.ACLs == nil || j.Configs == nil || j.Features == nil || j.Quotas == nil || j.Users == nil || j.Errors == nil {
		return nil, corruptf("administration: a list is null")
	}
	a := &coldstream.Administration{Errs: map[coldstream.AdministrationPart]error{}}
	for _, x := range j.ACLs {
		a.ACLs = append(a.ACLs, coldstream.ACL{
			ResourceType: string(x.ResourceType), ResourceName: string(x.ResourceName), PatternType: string(x.PatternType),
			Principal: string(x.Principal), Host: string(x.Host), Operation: string(x.Operation), Permission: string(x.Permission),
		})
	}
	for _, x := range j.Features {
		a.Features = append(a.Features, coldstream.Feature{Name: string(x.Name), Level: x.Level})
	}
	if err := j.lists(a); err != nil {
		return nil, err
	}
	for _, x := range j.Errors {
		part := coldstream.AdministrationPart(x.Part)
		if x.Error == "" || !slices.Contains(coldstream.AdministrationParts(), part) || a.Errs[part] != nil {
			return nil, corruptf("administration: the error of part %q is none, or one too many", x.Part)
		}
		a.Errs[part] = textError(x.Error)
	}
	return a, checkAdministration(a)
}

// lists takes in what has lists inside.
func (j *administrationJSON) lists(a *coldstream.Administration) error {
	for _, x := range j.Configs {
		if x.Configs == nil {
			return corruptf("administration: a list of configs is null")
		}
		r := coldstream.ResourceConfigs{Type: string(x.Type), Name: string(x.Name)}
		for _, c := range x.Configs {
			r.Configs = append(r.Configs, coldstream.Config{Name: string(c.Name), Value: string(c.Value), Source: string(c.Source), Sensitive: c.Sensitive})
		}
		a.Configs = append(a.Configs, r)
	}
	for _, x := range j.Quotas {
		if x.Entity == nil || x.Values == nil {
			return corruptf("administration: a list of a quota is null")
		}
		q := coldstream.Quota{}
		for _, e := range x.Entity {
			if e.Default && e.Name != "" {
				return corruptf("administration: a default quota has a name")
			}
			q.Entity = append(q.Entity, coldstream.QuotaEntity{Type: string(e.Type), Name: string(e.Name), Default: e.Default})
		}
		for _, v := range x.Values {
			value, err := strconv.ParseFloat(string(v.Value), 64)
			if err != nil || math.IsNaN(value) || decimal(value) != string(v.Value) {
				return corruptf("administration: quota value %q", v.Value)
			}
			q.Values = append(q.Values, coldstream.QuotaValue{Key: string(v.Key), Value: value})
		}
		a.Quotas = append(a.Quotas, q)
	}
	for _, x := range j.Users {
		if x.Credentials == nil {
			return corruptf("administration: a list of credentials is null")
		}
		u := coldstream.ScramUser{Name: string(x.User)}
		for _, c := range x.Credentials {
			u.Credentials = append(u.Credentials, coldstream.ScramCredential{Mechanism: string(c.Mechanism), Iterations: c.Iterations})
		}
		a.Users = append(a.Users, u)
	}
	return nil
}

// checkAdministration finds lists that are out of order, or have something twice: one content
// has one encoding.
func checkAdministration(a *coldstream.Administration) error {
	sorted := climbs(a.ACLs, coldstream.CompareACLs) && climbs(a.Configs, coldstream.CompareResources) &&
		climbs(a.Features, func(x, y coldstream.Feature) int { return cmp.Compare(x.Name, y.Name) }) &&
		climbs(a.Quotas, coldstream.CompareQuotas) &&
		climbs(a.Users, func(x, y coldstream.ScramUser) int { return cmp.Compare(x.Name, y.Name) })
	for _, r := range a.Configs {
		sorted = sorted && climbs(r.Configs, func(x, y coldstream.Config) int { return cmp.Compare(x.Name, y.Name) })
	}
	for _, q := range a.Quotas {
		sorted = sorted && climbs(q.Entity, func(x, y coldstream.QuotaEntity) int { return cmp.Compare(x.Type, y.Type) }) &&
			climbs(q.Values, func(x, y coldstream.QuotaValue) int { return cmp.Compare(x.Key, y.Key) })
	}
	for _, u := range a.Users {
		sorted = sorted && climbs(u.Credentials, func(x, y coldstream.ScramCredential) int { return cmp.Compare(x.Mechanism, y.Mechanism) })
	}
	if !sorted {
		return corruptf("administration: a list is out of order")
	}
	return nil
}

// climbs says that each element is above the one before.
func climbs[T any](list []T, compare func(a, b T) int) bool {
	for i := 1; i < len(list); i++ {
		if compare(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}
