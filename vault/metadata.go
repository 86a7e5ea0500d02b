package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// The names of a snapshot's metadata sections, as they stand in Missing.
const (
	SectionAdministration = "administration"
	SectionCluster        = "cluster"
	SectionDefaults       = "defaults"
	SectionGroups         = "groups"
	SectionTopics         = "topics"
	// SectionGroupsMissing is there only where groups are missing, so that this is known
	// without reading any section.
	SectionGroupsMissing = "groups_missing"
	// SectionShort is there only where partitions were cut short.
	SectionShort = "short"
	// SectionTags is there only where the snapshot was made with tags, or pinned.
	SectionTags = "tags"
)

type encodedSection struct {
	name    string
	payload []byte
	missing string
}

// encodeMetadata gives the sections sorted by name. Equal content has equal bytes, so
// that it is stored once.
func encodeMetadata(m *Metadata) ([]encodedSection, error) {
	out := []encodedSection{{name: SectionAdministration}, {name: SectionCluster}, {name: SectionDefaults}, {name: SectionGroups}, {name: SectionGroupsMissing}, {name: SectionShort}, {name: SectionTags}, {name: SectionTopics}}
	out = slices.DeleteFunc(out, func(s encodedSection) bool {
		return s.name == SectionDefaults && m.Defaults == nil && m.Missing[SectionDefaults] == "" || // nobody asked
			s.name == SectionAdministration && m.Administration == nil ||
			s.name == SectionGroupsMissing && len(m.GroupsMissing) == 0 || s.name == SectionShort && len(m.Short) == 0 ||
			s.name == SectionTags && m.Tags.IsZero()
	})
	for i := range out {
		s := &out[i]
		if s.missing = m.Missing[s.name]; s.missing != "" {
			continue
		}
		var err error
		switch s.name {
		case SectionAdministration:
			s.payload, err = format.EncodeAdministration(m.Administration)
		case SectionCluster:
			s.payload, err = format.EncodeCluster(&m.Cluster)
		case SectionDefaults:
			s.payload, err = format.EncodeDefaults(m.Defaults)
		case SectionGroups:
			s.payload, err = format.EncodeGroups(m.Groups)
		case SectionGroupsMissing:
			s.payload, err = format.EncodeGroupsMissing(m.GroupsMissing)
		case SectionShort:
			s.payload, err = format.EncodeShort(m.Short)
		case SectionTags:
			s.payload, err = format.EncodeTags(&m.Tags)
		case SectionTopics:
			s.payload, err = format.EncodeTopics(m.Topics)
		}
		if err != nil {
			return nil, fmt.Errorf("encode metadata section %s: %w", s.name, err)
		}
	}
	return out, nil
}

// Metadata reads what a snapshot recorded of its cluster. A section that is damaged is in
// Damaged, and its part of the metadata is empty. Where it is missing because the snapshot
// was forgotten meanwhile, the error wraps [coldstream.ErrForgotten].
func (v *Vault) Metadata(ctx context.Context, s *Snapshot) (*Metadata, error) {
	m := &Metadata{Missing: map[string]string{}}
	fast, stop := v.sectionsAhead(ctx, s.sections)
	defer stop()
	for _, ref := range s.sections {
		if ref.Missing != "" {
			m.Missing[ref.Name] = ref.Missing
			continue
		}
		payload, err := fast.loadSection(ctx, ref)
		if err == nil {
			if err = m.decode(ref.Name, payload); err != nil {
				err = object.AsDamage(ref.Table.Key(), err)
			}
		}
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			if damage.Kind == KindMissing {
				if err := v.checkRemembered(ctx, s); err != nil {
					return nil, err
				}
			}
			if m.Damaged == nil {
				m.Damaged = map[string]*DamageError{}
			}
			m.Damaged[ref.Name] = damage
		case err != nil:
			return nil, fmt.Errorf("metadata section %s of snapshot %s: %w", ref.Name, s.ID, err)
		}
	}
	return m, nil
}

// GroupsMissing reads which consumer groups a snapshot lacks. Where that is damaged, any may be
// missing.
func (v *Vault) GroupsMissing(ctx context.Context, s *Snapshot) ([]coldstream.MissingGroups, error) {
	var out []coldstream.MissingGroups
	for _, ref := range s.sections {
		switch {
		case ref.Name == SectionGroups && ref.Missing != "":
			out = append(out, coldstream.MissingGroups{Err: errors.New(ref.Missing)})
		case ref.Name == SectionGroupsMissing:
			m := &Metadata{}
			payload, err := v.loadSection(ctx, ref)
			if err == nil {
				err = m.decode(ref.Name, payload)
			}
			if errors.Is(err, coldstream.ErrCorrupt) {
				m.GroupsMissing, err = []coldstream.MissingGroups{{Err: fmt.Errorf("which ones is damaged: %w", err)}}, nil
			}
			if err != nil {
				return nil, fmt.Errorf("metadata section %s of snapshot %s: %w", ref.Name, s.ID, err)
			}
			out = append(out, m.GroupsMissing...)
		}
	}
	return out, nil
}

// checkRemembered tells a section that is missing from one that went with its snapshot.
func (v *Vault) checkRemembered(ctx context.Context, s *Snapshot) error {
	if err := v.prove(ctx, s, nil); errors.Is(err, coldstream.ErrForgotten) || !errors.Is(err, coldstream.ErrCorrupt) {
		return err
	}
	return nil // damage is in the way of knowing it
}

// decode takes a section in.
func (m *Metadata) decode(name string, payload []byte) (err error) {
	switch name {
	case SectionAdministration:
		m.Administration, err = format.DecodeAdministration(payload)
	case SectionCluster:
		m.Cluster, err = format.DecodeCluster(payload)
	case SectionDefaults:
		m.Defaults, err = format.DecodeDefaults(payload)
	case SectionGroups:
		m.Groups, err = format.DecodeGroups(payload)
	case SectionGroupsMissing:
		m.GroupsMissing, err = format.DecodeGroupsMissing(payload)
	case SectionShort:
		m.Short, err = format.DecodeShort(payload)
	case SectionTags:
		m.Tags, err = format.DecodeTags(payload)
	case SectionTopics:
		m.Topics, err = format.DecodeTopics(payload)
	default:
		// A newer version saved more than this one can use.
		m.Missing[name] = "not known to this version of coldstream"
	}
	return err
}

// RememberingSections is the same vault for who reads metadata of many snapshots, one after
// the other: what one shares with the one before is read once.
func (v *Vault) RememberingSections() *Vault {
	other := *v
	other.sections = &sectionMemory{byName: map[string]rememberedSection{}}
	return &other
}

// sectionMemory is the last section of each name that was read.
type sectionMemory struct {
	mu     sync.Mutex
	byName map[string]rememberedSection
}

type rememberedSection struct {
	ref     section
	payload []byte
}

func (m *sectionMemory) get(ref section) ([]byte, bool) {
	if m == nil {
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.byName[ref.Name]
	return known.payload, known.ref == ref
}

func (m *sectionMemory) keep(ref section, payload []byte) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byName[ref.Name] = rememberedSection{ref, payload}
}

func (v *Vault) loadSection(ctx context.Context, ref section) ([]byte, error) {
	if known, ok := v.sections.get(ref); ok {
		return known, nil
	}
	payload, err := v.objects.Content(ctx, format.KindSection, ref.Table, ref.SizeBytes)
	if err == nil {
		v.sections.keep(ref, payload)
	}
	return payload, err
}
