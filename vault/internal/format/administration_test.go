package format

import (
	"errors"
	"math"
	"testing"

	"coldstream"
)

func testAdministration() *coldstream.Administration {
	return &coldstream.Administration{
		ACLs: []coldstream.ACL{
			{
				ResourceType: "GROUP", ResourceName: "bill\xffing", PatternType: "PREFIXED",
				Principal: "User:alice", Host: "*", Operation: "READ", Permission: "ALLOW",
			},
			{ResourceType: "TOPIC", ResourceName: "*", PatternType: "LITERAL", Principal: "User:bob", Host: "10.0.0.1", Operation: "ALL", Permission: "DENY"},
		},
		Configs: []coldstream.ResourceConfigs{
			{Type: "BROKER", Configs: []coldstream.Config{{Name: "log.retention.ms", Value: "1", Source: "DYNAMIC_DEFAULT_BROKER_CONFIG"}}},
			{Type: "BROKER", Name: "1", Configs: []coldstream.Config{{Name: "ssl.key.password", Source: "DYNAMIC_BROKER_CONFIG", Sensitive: true}}},
		},
		Features: []coldstream.Feature{{Name: "kraft.version", Level: 1}, {Name: "metadata.version", Level: 27}},
		Quotas: []coldstream.Quota{
			{Entity: []coldstream.QuotaEntity{{Type: "client-id", Default: true}}, Values: []coldstream.QuotaValue{{Key: "consumer_byte_rate", Value: 0.1}}},
			{
				Entity: []coldstream.QuotaEntity{{Type: "client-id", Name: "reporting"}, {Type: "user", Name: ""}},
				Values: []coldstream.QuotaValue{{Key: "producer_byte_rate", Value: 1e300}, {Key: "request_percentage", Value: -0.5}},
			},
		},
		Users: []coldstream.ScramUser{
			{Name: "alice", Credentials: []coldstream.ScramCredential{{Mechanism: "SCRAM-SHA-256", Iterations: 8192}, {Mechanism: "SCRAM-SHA-512", Iterations: 4096}}},
			{Name: "bob"},
		},
		Errs: map[coldstream.AdministrationPart]error{coldstream.PartUsers: errors.New("denied")},
	}
}

func againAdministration(b []byte) ([]byte, error) {
	v, err := DecodeAdministration(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeAdministration(v))
}

func TestAdministrationRejections(t *testing.T) {
	type c = rejection[*coldstream.Administration]
	encode := func(a *coldstream.Administration) error { _, err := EncodeAdministration(a); return err }
	checkRejections(t, testAdministration, encode, []c{
		{"ACLs out of order", func(a *coldstream.Administration) { swap(a.ACLs) }, coldstream.ErrCorrupt, "out of order"},
		{"an ACL twice", func(a *coldstream.Administration) { a.ACLs[1] = a.ACLs[0] }, coldstream.ErrCorrupt, "out of order"},
		{"things out of order", func(a *coldstream.Administration) { swap(a.Configs) }, coldstream.ErrCorrupt, "out of order"},
		{"features out of order", func(a *coldstream.Administration) { swap(a.Features) }, coldstream.ErrCorrupt, "out of order"},
		{"quotas out of order", func(a *coldstream.Administration) { swap(a.Quotas) }, coldstream.ErrCorrupt, "out of order"},
		{"limits out of order", func(a *coldstream.Administration) { swap(a.Quotas[1].Values) }, coldstream.ErrCorrupt, "out of order"},
		{"an entity out of order", func(a *coldstream.Administration) { swap(a.Quotas[1].Entity) }, coldstream.ErrCorrupt, "out of order"},
		{"users out of order", func(a *coldstream.Administration) { swap(a.Users) }, coldstream.ErrCorrupt, "out of order"},
		{"mechanisms out of order", func(a *coldstream.Administration) { swap(a.Users[0].Credentials) }, coldstream.ErrCorrupt, "out of order"},
		{"a default with a name", func(a *coldstream.Administration) { a.Quotas[0].Entity[0].Name = "x" }, coldstream.ErrCorrupt, "has a name"},
		{"no number", func(a *coldstream.Administration) { a.Quotas[0].Values[0].Value = math.NaN() }, coldstream.ErrCorrupt, "quota value"},
	})
	for what, document := range map[string]string{
		"null":         `{"acls":null,"configs":[],"features":[],"quotas":[],"users":[],"errors":[]}`,
		"unknown part": `{"acls":[],"configs":[],"features":[],"quotas":[],"users":[],"errors":[{"part":"x","error":"e"}]}`,
		"no reason":    `{"acls":[],"configs":[],"features":[],"quotas":[],"users":[],"errors":[{"part":"acls","error":""}]}`,
		"twice":        `{"acls":[],"configs":[],"features":[],"quotas":[],"users":[],"errors":[{"part":"acls","error":"e"},{"part":"acls","error":"e"}]}`,
		"other digits": `{"acls":[],"configs":[],"features":[],"quotas":[{"entity":[],"values":[{"key":"k","value":"1.0"}]}],"users":[],"errors":[]}`,
	} {
		if _, err := DecodeAdministration([]byte(document)); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
