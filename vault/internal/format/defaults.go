package format

import (
	"cmp"
	"slices"

	"coldstream"
)

type defaultsJSON struct {
	Configs    []defaultJSON    `json:"configs"`
	Unanswered []unansweredJSON `json:"unanswered"`
}

type defaultJSON struct {
	configJSON
	Brokers []int32 `json:"brokers,omitempty"`
}

type unansweredJSON struct {
	Broker int32 `json:"broker"`
	Error  text  `json:"error"`
}

// EncodeDefaults writes the section "defaults".
func EncodeDefaults(d *coldstream.TopicDefaults) ([]byte, error) {
	j := defaultsJSON{Configs: []defaultJSON{}, Unanswered: []unansweredJSON{}}
	for _, c := range d.Configs {
		j.Configs = append(j.Configs, defaultJSON{configJSON{text(c.Name), text(c.Value), text(c.Source), c.Sensitive}, c.Brokers})
	}
	for _, u := range d.Unanswered {
		j.Unanswered = append(j.Unanswered, unansweredJSON{u.ID, errorText(u.Err)})
	}
	return proven(j, DecodeDefaults)
}

// DecodeDefaults reads the section "defaults".
func DecodeDefaults(b []byte) (*coldstream.TopicDefaults, error) {
	var j defaultsJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if j.Configs == nil || j.Unanswered == nil {
		return nil, corruptf("defaults: a list is null")
	}
	d := &coldstream.TopicDefaults{}
	for i, c := range j.Configs {
		if i > 0 && !lessDefault(&j.Configs[i-1], &c) {
			return nil, corruptf("defaults: config %q is out of order", c.Name)
		}
		if !ascending(c.Brokers) {
			return nil, corruptf("defaults: the brokers of config %q are out of order", c.Name)
		}
		d.Configs = append(d.Configs, coldstream.DefaultConfig{
			Config:  coldstream.Config{Name: string(c.Name), Value: string(c.Value), Source: string(c.Source), Sensitive: c.Sensitive},
			Brokers: c.Brokers,
		})
	}
	for i, u := range j.Unanswered {
		if u.Error == "" || i > 0 && j.Unanswered[i-1].Broker >= u.Broker {
			return nil, corruptf("defaults: broker %d without an error, or out of order", u.Broker)
		}
		d.Unanswered = append(d.Unanswered, coldstream.UnansweredBroker{ID: u.Broker, Err: textError(u.Error)})
	}
	return d, nil
}

func lessDefault(a, b *defaultJSON) bool {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Source, b.Source), slices.Compare(a.Brokers, b.Brokers)) < 0
}

func ascending(ids []int32) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}
