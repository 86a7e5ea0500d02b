package vault

import (
	"context"
	"slices"

	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// Pack is parts that become one object. It may be stored before the commit that names it is
// made, while others are committed; what was not stored then is stored by the commit. A
// Pack is used by one goroutine at a time, and is good for one commit, which may be tried again.
type Pack struct {
	writer  *Writer
	content *pack.Contents
	blocks  []*pack.Block
	next    *packObject   // to be stored; nil once that was tried
	stored  []format.Pack // the pack, once it is stored
	body    []byte        // of what is stored; the frames of parts may lie in it
	made    Receipt       // the objects that it became
}

// packObject is the bytes of a pack under a name that no other has.
type packObject struct {
	format.Pack
	body   []byte
	sealed *object.Sealed
}

// Encode makes data, one entry per stream in the order of [coldstream.Stream.Compare],
// ready for [Changes].Parts, on all cores. Nothing is stored.
func (w *Writer) Encode(ctx context.Context, data []StreamData) (*Part, error) {
	return w.encoder.Encode(ctx, data)
}

// Pack puts parts together, in the order in which their data was fetched. Nothing is stored.
func (w *Writer) Pack(parts []*Part) *Pack {
	p := &Pack{writer: w, content: pack.Join(parts)}
	for _, part := range parts {
		p.blocks = append(p.blocks, part.Blocks...)
	}
	if !p.content.IsEmpty() {
		p.next = w.assemble(p.content)
	}
	return p
}

func (w *Writer) assemble(content *pack.Contents) *packObject {
	w.mu.Lock()
	id := format.PackID{Epoch: w.packEpoch, Writer: w.id, Number: w.packs}
	w.packs++
	w.mu.Unlock()
	body, frames := w.encoder.Assemble(content, w.vault.info.ID, id)
	sealed := w.vault.objects.SealPack(id, body)
	return &packObject{format.Pack{ID: id, SizeBytes: sealed.SizeBytes(), Frames: frames}, body, sealed}
}

// Store stores the pack. The data is not saved before a commit with the pack has succeeded.
// After an error the commit stores it again, under another name.
func (p *Pack) Store(ctx context.Context) error {
	if p.content.IsEmpty() || len(p.stored) > 0 {
		return nil
	}
	return p.store(ctx)
}

// storeFor makes it an object that a commit in an epoch may name: one that was stored in the
// epoch before is; an older one may be gone.
func (p *Pack) storeFor(ctx context.Context, epoch uint32) ([]format.Pack, error) {
	if p.content.IsEmpty() {
		return nil, nil
	}
	if p.next != nil && epoch-p.next.ID.Epoch > 1 {
		p.next = nil
	}
	if len(p.stored) == 0 || epoch-p.stored[0].ID.Epoch > 1 {
		if err := p.store(ctx); err != nil {
			return nil, err
		}
	}
	return p.stored, nil
}

func (p *Pack) store(ctx context.Context) error {
	next := p.next
	if p.next = nil; next == nil {
		next = p.writer.assemble(p.content)
	}
	created, err := p.writer.vault.objects.Ensure(ctx, next.sealed)
	if err != nil {
		return err
	}
	if created {
		p.made.stored(next.sealed)
	}
	p.body, p.stored = next.body, []format.Pack{next.Pack}
	return nil
}

// encodeAll returns the parts of changes, and one of their data behind them.
func (w *Writer) encodeAll(ctx context.Context, changes *Changes) ([]*Part, error) {
	if len(changes.Data) == 0 {
		return changes.Parts, nil
	}
	last, err := w.Encode(ctx, changes.Data)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(changes.Parts), last), nil
}
