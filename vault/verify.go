package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// VerifyOptions say how far to look.
type VerifyOptions struct {
	// Deep reads and checks every byte of every pack. Without it packs are only looked
	// for, and their sizes compared; all metadata is read and hashed in both.
	Deep bool
	// Expect is a vault hash that was printed earlier: the state that it stands for must
	// still be there. nil expects nothing.
	Expect   *[32]byte
	Observer coldstream.Observer
}

// VerifyReport is what a verification found.
type VerifyReport struct {
	// Problems are sorted by object and offsets; empty means that all is well.
	Problems []*DamageError
	// Accepted is damage whose loss was accepted ([Vault.AcceptLoss]); likewise.
	Accepted []*DamageError
	// Concerned are the snapshots that show what damage costs.
	Concerned    map[*DamageError][]SnapshotID
	BytesChecked int64
	Snapshots    int
	Streams      int
	Packs        int
}

// Verify proves that every object that the catalog names is there and is what was
// stored, and that the rows of each stream join. The error is about the verification
// itself; damage is in the report. Damage of packs is reported as far as it costs offsets
// that nothing else holds, and marked, where the store allows it, so that the next backup
// fetches again what the cluster still has.
func (v *Vault) Verify(ctx context.Context, opts VerifyOptions) (*VerifyReport, error) {
	if opts.Observer == nil {
		opts.Observer = coldstream.NoObserver{}
	}
	for {
		ver := &verifier{vault: v, opts: opts}
		found, err := ver.run(ctx)
		if errors.Is(err, errTurned) {
			continue
		}
		if err != nil {
			return nil, err
		}
		now, err := v.look(ctx, found.newest)
		if err != nil {
			return nil, err
		}
		// What a newer epoch took away is not missing.
		if still := now.isStill(found); still || len(ver.report.Problems) == 0 {
			if still {
				v.markIfPossible(ctx, append(ver.damaged.marks(), ver.around.marks()...)...)
				_ = v.Flush(ctx) // who looks next finds it again
			}
			return &ver.report, nil
		}
	}
}

func (ver *verifier) run(ctx context.Context) (*epochsFound, error) {
	catalog, err := ver.vault.withFacts(ctx, catalogOptions{reader: true, chapters: true, chain: true}, func(c *Catalog) error {
		ver.restart()
		if err := ver.readShown(ctx, c); err != nil {
			return err
		}
		return ver.checkRows(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	ver.add(catalog.damage...)
	ver.report.Streams, ver.report.Packs = len(catalog.heads), len(ver.packs)
	ver.checkListed(catalog)
	ver.checkExpected(catalog)
	if err := ver.checkSections(ctx, catalog); err != nil {
		return nil, err
	}
	if err := ver.checkTags(ctx); err != nil {
		return nil, err
	}
	if err := ver.checkRestores(ctx); err != nil {
		return nil, err
	}
	if err := ver.checkWaiting(ctx, &catalog.found); err != nil {
		return nil, err
	}
	if err := ver.checkSizes(ctx); err != nil {
		return nil, err
	}
	if err := ver.checkMarks(ctx, catalog); err != nil {
		return nil, err
	}
	if ver.opts.Deep {
		if err := ver.checkPacks(ctx, catalog); err != nil {
			return nil, err
		}
	}
	if err := ver.settle(ctx, catalog); err != nil {
		return nil, err
	}
	ver.sortProblems()
	if err := ver.settleAccepted(ctx, catalog); err != nil {
		return nil, err
	}
	return &catalog.found, nil
}

type verifier struct {
	vault *Vault
	opts  VerifyOptions
	packs map[format.PackID]*packContent
	// misfits are what objects say of packs that does not fit to what others said.
	misfits map[misfit]bool
	shown   map[history][]View // by snapshots
	// historiesOf are those of shown, by scan.
	historiesOf map[scanOf][]history

	mu      sync.Mutex
	damaged damagedFrames
	around  damagedFrames // packs of which only what is around the frames is damaged
	report  VerifyReport
}

func (ver *verifier) restart() {
	ver.packs, ver.misfits, ver.report = map[format.PackID]*packContent{}, map[misfit]bool{}, VerifyReport{}
	ver.damaged, ver.around = damagedFrames{}, damagedFrames{}
}

func (ver *verifier) sortProblems() {
	slices.SortFunc(ver.report.Problems, func(a, b *DamageError) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), a.Stream.Compare(b.Stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
}

// took adds what an error says of damage; another error is returned.
func (ver *verifier) took(err error) error {
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	ver.add(damage)
	return nil
}

func (ver *verifier) add(problems ...*DamageError) {
	ver.mu.Lock()
	defer ver.mu.Unlock()
	ver.report.Problems = append(ver.report.Problems, problems...)
}

func (ver *verifier) checked(sizeBytes int64) {
	ver.mu.Lock()
	ver.report.BytesChecked += sizeBytes
	ver.mu.Unlock()
	ver.opts.Observer.Observe(&coldstream.Progress{Activity: "verify", Bytes: sizeBytes})
}

func (ver *verifier) checkSections(ctx context.Context, catalog *Catalog) error {
	seen := map[section]bool{}
	var sections []section
	for i := range catalog.snapshots {
		sections = append(sections, catalog.snapshots[i].sections...)
	}
	fast, stop := ver.vault.sectionsAhead(ctx, sections)
	defer stop()
	for _, ref := range sections {
		if ref.Missing != "" || seen[ref] {
			continue
		}
		seen[ref] = true
		payload, err := fast.loadSection(ctx, ref)
		if err == nil {
			if err = (&Metadata{Missing: map[string]string{}}).decode(ref.Name, payload); err != nil {
				err = object.AsDamage(ref.Table.Key(), err)
			}
		}
		if err := ver.took(err); err != nil {
			return err
		}
		ver.checked(int64(len(payload)))
	}
	return nil
}

// checkListed proves that each pack that rows of tables need is in a chapter: what is in
// none is garbage to the next who turns.
func (ver *verifier) checkListed(catalog *Catalog) {
	if slices.ContainsFunc(catalog.damage, func(d *DamageError) bool { return strings.HasPrefix(d.Object, format.TablesPrefix) }) {
		return // a chapter may be among them
	}
	for id, content := range ver.packs {
		if size, listed := catalog.packs[id]; content.whole == nil && (!listed || size != content.size) {
			ver.add(&DamageError{Object: format.BaseKey(catalog.epoch), Kind: KindAltered,
				Cause: fmt.Errorf("none of its chapters lists %s of %d bytes, which rows of its tables need", id.Key(), content.size)})
		}
	}
}

// checkRestores reads what restores have written down.
func (ver *verifier) checkRestores(ctx context.Context) error {
	for entry, err := range ver.vault.objects.List(ctx, format.RestoresPrefix, "") {
		if err != nil {
			return fmt.Errorf("list restores: %w", err)
		}
		payload, _, err := ver.vault.objects.Load(ctx, format.KindRestore, entry.Key)
		if err := ver.took(err); err != nil {
			return err
		}
		ver.checked(int64(len(payload)))
	}
	return nil
}

// checkSizes looks for every named pack, at its size, in one listing.
func (ver *verifier) checkSizes(ctx context.Context) error {
	sizes, err := ver.vault.packSizes(ctx, nil)
	if err != nil {
		return err
	}
	for id, content := range ver.packs {
		if damage := sizes.damage(id, content.size); damage != nil {
			ver.foundDamaged(content, allFrames, damage)
		}
	}
	return nil
}
