package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coldstream"
	"coldstream/vault/internal/format"
)

// allFrames stands for a whole pack where else a frame's start does.
const allFrames = format.WholePack

// packContent is a pack as the catalog describes it: commits list all frames of a pack, tables
// only those that their rows need.
type packContent struct {
	id     format.PackID
	size   int64
	whole  []format.Frame         // as a commit lists them; nil if only tables name it
	frames map[int64]format.Frame // by where they begin in the object
	count  int                    // of the rows that need it
	rows   []packRow              // these, while they are needed: they may be many
	bad    bool
}

type packRow struct {
	stream coldstream.Stream
	format.Row
	start int64 // of its frame
}

// misfit is what an object says of a pack.
type misfit struct {
	object string
	pack   format.PackID
}

// takePacks joins what an object says of packs to what others said. Where it does not fit,
// the object's rows are lost, for nobody knows who is right.
func (ver *verifier) takePacks(object string, facts *format.Facts) {
	for i := range facts.Packs {
		p := facts.Packs[i].Place(ver.vault.info.ID)
		content := ver.packs[p.ID]
		if content == nil {
			content = &packContent{id: p.ID, size: p.SizeBytes, frames: map[int64]format.Frame{}}
			ver.packs[p.ID] = content
		}
		ofCommit := strings.HasPrefix(object, format.AllCommits)
		fits := p.SizeBytes == content.size && (!ofCommit || content.whole == nil || slices.Equal(p.Frames, content.whole))
		switch {
		case !fits || !content.take(p):
			ver.misfits[misfit{object, p.ID}] = true
			ver.addLoss(&packContent{rows: rowsIn(facts, i, p)}, allFrames, &DamageError{Object: object, Kind: KindAltered,
				Cause: fmt.Errorf("it describes %s otherwise than others do", p.ID.Key())})
		case ofCommit:
			content.whole = p.Frames
		}
	}
	for i := range facts.Rows {
		if r := &facts.Rows[i]; r.Length > 0 {
			ver.packs[facts.Packs[r.Pack].ID].count++
		}
	}
}

// rowsIn are the rows that need a pack.
func rowsIn(facts *format.Facts, pack int, placed *format.PlacedPack) []packRow {
	var out []packRow
	for i := range facts.Rows {
		if r := &facts.Rows[i]; r.Length > 0 && r.Pack == pack {
			out = append(out, packRow{facts.StreamAt(r.Stream), *r, placed.Starts[r.Frame]})
		}
	}
	return out
}

// gatherRows reads the rows of some packs, those alone: of all packs they would be too many.
func (ver *verifier) gatherRows(ctx context.Context, c *Catalog, wanted func(format.PackID) bool) error {
	for _, content := range ver.packs {
		content.rows = nil
	}
	return c.eachFacts(ctx, func(string) bool { return true }, func(object string, facts *format.Facts) error {
		for i := range facts.Packs {
			id := facts.Packs[i].ID
			if content := ver.packs[id]; content != nil && wanted(id) && !ver.misfits[misfit{object, id}] {
				content.rows = append(content.rows, rowsIn(facts, i, facts.Packs[i].Place(ver.vault.info.ID))...)
			}
		}
		return nil
	})
}

// take keeps frames by their place, unless others said otherwise of one.
func (c *packContent) take(p *format.PlacedPack) bool {
	for i, f := range p.Frames {
		f.Skipped = 0
		if known, ok := c.frames[p.Starts[i]]; ok && known != f {
			return false
		}
	}
	for i, f := range p.Frames {
		f.Skipped = 0
		c.frames[p.Starts[i]] = f
	}
	return true
}

// overlapping are packs of which different objects name frames that overlap.
func (ver *verifier) overlapping() map[format.PackID]bool {
	out := map[format.PackID]bool{}
	for _, c := range ver.packs {
		starts, end := c.starts(), int64(0)
		for _, start := range starts {
			if start < end || c.whole != nil && len(starts) > len(c.whole) {
				out[c.id] = true
				break
			}
			end = start + c.frames[start].StoredLength
		}
	}
	return out
}

// settlePacks proves, once all is read, that frames that different objects name do not
// overlap.
func (ver *verifier) settlePacks(ctx context.Context, c *Catalog) error {
	bad := ver.overlapping()
	if len(bad) == 0 {
		return nil
	}
	if err := ver.gatherRows(ctx, c, func(id format.PackID) bool { return bad[id] }); err != nil {
		return err
	}
	for id := range bad {
		ver.addLoss(ver.packs[id], allFrames, &DamageError{Object: id.Key(), Kind: KindAltered,
			Cause: errors.New("the catalog names frames of it that overlap")})
	}
	return nil
}

func (c *packContent) starts() []int64 {
	out := make([]int64, 0, len(c.frames))
	for start := range c.frames {
		out = append(out, start)
	}
	slices.Sort(out)
	return out
}

// checkSize compares the object's size with what the catalog lets expect.
func (c *packContent) checkSize(size int64, header []byte) error {
	want := c.size
	if c.whole != nil {
		want = int64(len(header) + len(format.AppendPackIndex(nil, c.whole)))
		for _, f := range c.whole {
			want += f.StoredLength
		}
	}
	if size != want {
		return fmt.Errorf("%d bytes where header, frames and index have %d", size, want)
	}
	return nil
}

// checkIndex compares a pack's own index with the catalog.
func (c *packContent) checkIndex(body []byte, headerSize int64) error {
	if c.whole != nil {
		if !bytes.HasSuffix(body, format.AppendPackIndex(nil, c.whole)) {
			return errors.New("its index is not what the catalog says")
		}
		return nil
	}
	index, err := format.DecodePackIndex(body)
	if err != nil {
		return err
	}
	named := 0
	starts := (&format.Pack{Frames: index}).FrameStarts()
	for i, f := range index {
		if known, ok := c.frames[headerSize+starts[i]]; ok && known == f {
			named++
		}
	}
	if named != len(c.frames) {
		return errors.New("its index is not what the catalog says")
	}
	return nil
}

func (c *packContent) rowsOf(start int64) []packRow {
	var out []packRow
	for _, r := range c.rows {
		if r.start == start {
			out = append(out, r)
		}
	}
	return out
}

// addLoss reports damage of a pack, or of one frame of it, for each range of offsets
// that is lost with it.
func (ver *verifier) addLoss(content *packContent, start int64, damage *DamageError) {
	content.bad = content.bad || start == allFrames
	var costs []*DamageError
	for _, r := range content.rows {
		if start == allFrames || r.start == start {
			d := *damage
			d.Stream, d.FirstOffset, d.NextOffset = r.stream, r.FirstOffset, r.NextOffset
			costs = append(costs, &d)
		}
	}
	if len(costs) == 0 {
		costs = append(costs, damage)
	}
	ver.add(joinRanges(costs)...)
}
