package format

import "coldstream"

type groupsMissingJSON struct {
	Missing []missingGroupsJSON `json:"groups_missing"`
}

type missingGroupsJSON struct {
	Group                *text  `json:"group,omitempty"`
	CoordinatorPartition *int32 `json:"coordinator_partition,omitempty"`
	Error                text   `json:"error"`
}

// EncodeGroupsMissing writes the section "groups_missing".
func EncodeGroupsMissing(missing []coldstream.MissingGroups) ([]byte, error) {
	j := groupsMissingJSON{Missing: []missingGroupsJSON{}}
	for _, m := range missing {
		j.Missing = append(j.Missing, missingGroupsJSON{(*text)(m.Group), m.CoordinatorPartition, errorText(m.Err)})
	}
	return proven(j, DecodeGroupsMissing)
}

// DecodeGroupsMissing reads the section "groups_missing".
func DecodeGroupsMissing(b []byte) ([]coldstream.MissingGroups, error) {
	var j groupsMissingJSON
	if err := decodeJSON(b, &j); err != nil {
		return nil, err
	}
	if len(j.Missing) == 0 {
		return nil, corruptf("groups_missing: no group is missing")
	}
	var out []coldstream.MissingGroups
	for i, m := range j.Missing {
		if m.Error == "" || m.Group != nil && m.CoordinatorPartition != nil || m.CoordinatorPartition != nil && *m.CoordinatorPartition < 0 {
			return nil, corruptf("groups_missing: entry %d names both a group and a partition, a negative one, or no reason", i)
		}
		out = append(out, coldstream.MissingGroups{
			Group: (*string)(m.Group), CoordinatorPartition: m.CoordinatorPartition, Err: textError(m.Error),
		})
	}
	return out, nil
}
