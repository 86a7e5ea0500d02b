package format

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// VaultKey is the object that makes a prefix a vault.
const VaultKey = "vault.json"

// The prefixes under which the other objects live.
const (
	EpochsPrefix   = "epochs/"
	PacksPrefix    = "packs/"
	AllCommits     = "commits/"
	TablesPrefix   = "tables/"
	RestoresPrefix = "restores/"
	MarksPrefix    = "damaged/"
	// AcceptedPrefix is that of accepted losses.
	AcceptedPrefix = "accepted/"
	// KeysPrefix is that of the vault's identities, each object sealed to one person or host.
	KeysPrefix = "keys/"
	// LabelsPrefix is that of what tells whose each key is.
	LabelsPrefix = "labels/"
	// TagsPrefix is that of what was said of snapshots after they were made.
	TagsPrefix = "tags/"
)

// VaultID is a vault's identity.
type VaultID [16]byte

// String writes 32 hex digits.
func (id VaultID) String() string { return hex.EncodeToString(id[:]) }

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// HashOf is the SHA-256 of b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

// String writes 64 hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Writer is a process that adds to the vault: six bytes of the time it started, in
// milliseconds, so that a listing is roughly in the order of time (on which nothing
// relies), and six random ones.
type Writer [12]byte

// NewWriter makes a writer's ID.
func NewWriter(startMs int64, random [6]byte) Writer {
	var w Writer
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(startMs))
	copy(w[:6], ms[2:])
	copy(w[6:], random[:])
	return w
}

// String writes 24 hex digits.
func (w Writer) String() string { return hex.EncodeToString(w[:]) }

// objectID is what packs and commits are named by.
type objectID struct {
	epoch  uint32
	writer Writer
	number uint32
}

func (id objectID) key(prefix string) string {
	return fmt.Sprintf("%s%010d/%s/%010d", prefix, id.epoch, id.writer, id.number)
}

func (id objectID) compare(other objectID) int {
	return cmp.Or(cmp.Compare(id.epoch, other.epoch), bytes.Compare(id.writer[:], other.writer[:]), cmp.Compare(id.number, other.number))
}

// parseObjectID is strict: only the key that the ID itself would have.
func parseObjectID(prefix, key string) (objectID, error) {
	var id objectID
	parts := strings.Split(strings.TrimPrefix(key, prefix), "/")
	if len(parts) != 3 {
		return id, corruptf("key %q", key)
	}
	epoch, errEpoch := strconv.ParseUint(parts[0], 10, 32)
	number, errNumber := strconv.ParseUint(parts[2], 10, 32)
	n, errWriter := hex.Decode(id.writer[:], []byte(parts[1][:min(len(parts[1]), 2*len(id.writer))]))
	id.epoch, id.number = uint32(epoch), uint32(number)
	if errEpoch != nil || errNumber != nil || errWriter != nil || n != len(id.writer) || id.key(prefix) != key {
		return id, corruptf("key %q", key)
	}
	return id, nil
}

// PackID names a pack.
type PackID struct {
	Epoch  uint32
	Writer Writer
	Number uint32
}

// Key is the object's key.
func (id PackID) Key() string { return objectID{id.Epoch, id.Writer, id.Number}.key(PacksPrefix) }

// Compare orders as keys do.
func (id PackID) Compare(other PackID) int {
	return objectID{id.Epoch, id.Writer, id.Number}.compare(objectID{other.Epoch, other.Writer, other.Number})
}

// ParsePackKey reads what [PackID.Key] writes.
func ParsePackKey(key string) (PackID, error) {
	id, err := parseObjectID(PacksPrefix, key)
	return PackID{id.epoch, id.writer, id.number}, err
}

// CommitID names a commit.
type CommitID struct {
	Epoch  uint32
	Writer Writer
	Seq    uint32
}

// Key is the object's key.
func (id CommitID) Key() string { return objectID{id.Epoch, id.Writer, id.Seq}.key(AllCommits) }

// Compare orders as keys do.
func (id CommitID) Compare(other CommitID) int {
	return objectID{id.Epoch, id.Writer, id.Seq}.compare(objectID{other.Epoch, other.Writer, other.Seq})
}

// ParseCommitKey reads what [CommitID.Key] writes.
func ParseCommitKey(key string) (CommitID, error) {
	id, err := parseObjectID(AllCommits, key)
	return CommitID{id.epoch, id.writer, id.number}, err
}

// CommitsPrefix is where the commits of an epoch are.
func CommitsPrefix(epoch uint32) string { return fmt.Sprintf("%s%010d/", AllCommits, epoch) }

// TableID names a row table, a chapter, its views or a metadata section by its content.
type TableID struct {
	Epoch uint32
	Hash  Hash // of the payload
}

// Key is the object's key.
func (id TableID) Key() string { return TablesOf(id.Epoch) + id.Hash.String() }

// TablesOf is what the keys of an epoch's tables begin with.
func TablesOf(epoch uint32) string { return fmt.Sprintf("%s%010d/", TablesPrefix, epoch) }

// Compare orders as keys do.
func (id TableID) Compare(other TableID) int {
	return cmp.Or(cmp.Compare(id.Epoch, other.Epoch), bytes.Compare(id.Hash[:], other.Hash[:]))
}

// ParseTableKey reads what [TableID.Key] writes.
func ParseTableKey(key string) (TableID, error) {
	var id TableID
	epoch, hash, _ := strings.Cut(strings.TrimPrefix(key, TablesPrefix), "/")
	n, errEpoch := strconv.ParseUint(epoch, 10, 32)
	id.Epoch = uint32(n)
	size, errHash := hex.Decode(id.Hash[:], []byte(hash[:min(len(hash), 2*len(id.Hash))]))
	if errEpoch != nil || errHash != nil || size != len(id.Hash) || id.Key() != key {
		return id, corruptf("key %q", key)
	}
	return id, nil
}

// BegunKey is the key of an epoch's begin.
func BegunKey(epoch uint32) string { return fmt.Sprintf("%s%010d/begun", EpochsPrefix, epoch) }

// BaseKey is the key of an epoch's base.
func BaseKey(epoch uint32) string { return fmt.Sprintf("%s%010d/base", EpochsPrefix, epoch) }

// ParseEpochKey reads what [BegunKey] and [BaseKey] write; isBegun tells which.
func ParseEpochKey(key string) (epoch uint32, isBegun bool, err error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, EpochsPrefix), "/")
	n, err := strconv.ParseUint(name, 10, 32)
	epoch = uint32(n)
	if err != nil || key != BegunKey(epoch) && key != BaseKey(epoch) {
		return 0, false, corruptf("key %q", key)
	}
	return epoch, key == BegunKey(epoch), nil
}

// RestoreID names a restore.
type RestoreID [8]byte

// String writes 16 hex digits.
func (id RestoreID) String() string { return hex.EncodeToString(id[:]) }

// ParseRestoreKey reads what [RestoreKey] writes.
func ParseRestoreKey(key string) (id RestoreID, n uint32, err error) {
	name, number, _ := strings.Cut(strings.TrimPrefix(key, RestoresPrefix), "/")
	v, errNumber := strconv.ParseUint(number, 10, 32)
	n = uint32(v)
	size, errID := hex.Decode(id[:], []byte(name[:min(len(name), 2*len(id))]))
	if errNumber != nil || errID != nil || size != len(id) || RestoreKey(id, n) != key {
		return id, 0, corruptf("key %q", key)
	}
	return id, n, nil
}

// RestoreKey is the key of a restore's n-th record.
func RestoreKey(id RestoreID, n uint32) string {
	return fmt.Sprintf("%s%s/%010d", RestoresPrefix, id, n)
}

// WholePack stands for a whole pack where else a frame's start does.
const WholePack = -1

// Mark says that a pack, or one frame of it, was found to be damaged.
type Mark struct {
	Pack PackID
	// Start is where the frame begins in the pack's object, or [WholePack].
	Start int64
}

const wholePackName = "all"

// Key is the object's key.
func (m Mark) Key() string {
	key := objectID{m.Pack.Epoch, m.Pack.Writer, m.Pack.Number}.key(MarksPrefix)
	if m.Start == WholePack {
		return key + "/" + wholePackName
	}
	return fmt.Sprintf("%s/%010d", key, m.Start)
}

// ParseMarkKey reads what [Mark.Key] writes.
func ParseMarkKey(key string) (Mark, error) {
	at := max(strings.LastIndexByte(key, '/'), 0)
	id, err := parseObjectID(MarksPrefix, key[:at])
	if err != nil {
		return Mark{}, corruptf("key %q", key)
	}
	m := Mark{Pack: PackID{id.epoch, id.writer, id.number}, Start: WholePack}
	if key[at:] == "/"+wholePackName {
		return m, nil
	}
	m.Start, err = strconv.ParseInt(key[at+1:], 10, 64)
	if err != nil || m.Start < 0 || m.Key() != key {
		return Mark{}, corruptf("key %q", key)
	}
	return m, nil
}

// AcceptanceKey is the key of an accepted loss.
func AcceptanceKey(id AcceptanceID) string { return AcceptedPrefix + id.String() }

// ParseAcceptanceKey reads what [AcceptanceKey] writes.
func ParseAcceptanceKey(key string) (id AcceptanceID, err error) {
	name := strings.TrimPrefix(key, AcceptedPrefix)
	size, errID := hex.Decode(id[:], []byte(name[:min(len(name), 2*len(id))]))
	if errID != nil || size != len(id) || AcceptanceKey(id) != key {
		return AcceptanceID{}, corruptf("key %q", key)
	}
	return id, nil
}
