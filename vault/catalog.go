package vault

import (
	"cmp"
	"context"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// section is a part of a snapshot's metadata: where it is, or why it is missing.
type section = format.SectionRef

// Catalog is what the vault holds, by streams and snapshots, as of when it was opened.
// Its memory grows with streams, snapshots and commits, not with rows.
type Catalog struct {
	vault    *Vault
	found    epochsFound
	epoch    uint32
	baseHash format.Hash
	baseMs   int64 // when the base was made
	hasBase  bool  // baseHash is known: from the base, or from commits that outlived it
	lostBase bool  // what the base holds cannot be read
	// lostEpochs says that there were newer epochs.
	lostEpochs bool
	tables     []format.TableRef
	chapters   []format.ChapterRef
	heads      map[coldstream.Stream]*headState // a head stays where it is, and changes there
	named      namedHeads
	sections   map[format.Hash]format.TableID
	// snapshotIDs are those of snapshots, which only readers keep.
	snapshotIDs map[SnapshotID]bool
	snapshots   []Snapshot
	shelf       *shelf                  // of readers
	placed      []placedSnapshot        // of the epoch's own commits, until all are read
	packs       map[format.PackID]int64 // that chapters list and commits name, with their sizes
	digests     map[format.Hash]bool    // of the commits that chapters list
	commits     map[format.CommitID]*commitState
	deepest     int               // of these
	commitBytes int64             // stored, of all commits
	waiting     []*format.Commit  // read, but they do not join
	taken       []format.CommitID // in this order; only readers keep them
	facts       []objectFacts     // what these tell of rows, once that was asked for
	damage      []*DamageError
	accepted    acceptances // where there is damage

	opts catalogOptions
}

// commitState is a commit that was read, or that another one names.
type commitState struct {
	digest format.Hash // zero if it cannot be read
	seen   bool
	read   bool
	joined bool
	named  bool // by a commit that was read
	// depth counts the commits of the longest chain that ends here.
	depth int
	// payload is that of the commit; only readers keep it.
	payload []byte
	// snapshotMs is the time of the newest snapshot among the commit's own and, if it has
	// none, those that it was built on; format.NoParent if the epoch has none.
	snapshotMs int64
}

// catalogOptions say what a fold keeps.
type catalogOptions struct {
	// reader keeps snapshots, and takes also commits that do not join: with damage in a
	// stream's middle what is behind it can still be read. For writers what does not join
	// is not there, so that they fetch it again.
	reader bool
	// chapters reads also which packs, commits and snapshots earlier epochs brought.
	chapters bool
	// taken sees each commit that is taken, of an epoch that may turn out to be over.
	taken func(*format.Commit)
	// survey is what a listing before the first look saw; nil lists each time.
	survey *survey
	// chain also reads the base before, and proves that it is the one that is named.
	chain bool
}

// OpenCatalog reads the catalog. What of it is damaged is listed by [Catalog.Damage].
func (v *Vault) OpenCatalog(ctx context.Context) (*Catalog, error) {
	return v.openCatalog(ctx, catalogOptions{reader: true, chapters: true})
}

func (c *Catalog) report(object string, kind string, cause error) {
	c.damage = append(c.damage, &DamageError{Object: object, Kind: kind, Cause: cause})
}

// sortDamage brings it into an order that does not depend on who found it first.
func (c *Catalog) sortDamage() {
	slices.SortStableFunc(c.damage, func(a, b *DamageError) int { return cmp.Compare(a.Object, b.Object) })
}

// Snapshots returns the restore points, oldest first: each behind those that it was built
// on, whatever clocks said. The slice is the caller's, what it refers to is shared.
func (c *Catalog) Snapshots() []Snapshot { return slices.Clone(c.snapshots) }

// Damage lists the catalog's objects that are missing or altered, and the commits that
// do not join without them. What only these told is lost to the heads; snapshots of
// commits that do not join are among [Catalog.Snapshots], as far as they can be read.
// Of views of snapshots and of row tables it is what was found since, by those who asked for them.
// What was accepted by [Vault.AcceptLoss] is not among it.
func (c *Catalog) Damage() []*DamageError {
	return slices.DeleteFunc(slices.Concat(c.damage, c.shelf.damages()), c.accepted.has)
}

// Head says how far the vault has got with a stream.
func (c *Catalog) Head(s coldstream.Stream) (Head, bool) { return c.head(s) }

// head returns how far the vault has got with a stream.
func (c *Catalog) head(s coldstream.Stream) (Head, bool) {
	h, ok := c.heads[s]
	if !ok {
		return Head{}, false
	}
	head := Head{
		Scan: h.scan, NextOffset: h.nextOffset, Floor: max(h.floor, 0),
		Started: timeOrZero(h.startedMs), Pass: h.pass.public(), HolesAt: timeOrZero(h.holes.newestMs),
	}
	for _, e := range h.epochs.Lineage() {
		head.Epochs = append(head.Epochs, coldstream.EpochStart(e))
	}
	return head, true
}
