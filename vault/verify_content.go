package vault

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coldstream"
	"coldstream/vault/internal/format"
)

// allFrames stands for a whole pack where else a frame's start does.
const allFrames = format.WholePack

// packContent is a pack with the rows that need it, as the catalog describes it: commits
// list all frames of a pack, tables only those that their rows need.
type packContent struct {
	id     format.PackID
	size   int64
	whole  []format.Frame         // as a commit lists them; nil if only tables name it
	frames map[int64]format.Frame // by where they begin in the object
	rows   []packRow
	bad    bool
}

type packRow struct {
	stream coldstream.Stream
	format.Row
	start int64 // of its frame
}

// visitedPack is a pack as one object describes it.
type visitedPack struct {
	*format.PlacedPack
	rows []packRow
}

func (ver *verifier) visitPacks(facts *format.Facts) []*visitedPack {
	out := make([]*visitedPack, len(facts.Packs))
	for i, p := range facts.Packs {
		out[i] = &visitedPack{PlacedPack: p.Place(ver.vault.info.ID)}
	}
	return out
}

// takeRows joins what an object says of a pack to what others said. If it does not fit,
// the object's rows are lost, for nobody knows who is right.
func (ver *verifier) takeRows(object string, p *visitedPack) {
	content := ver.packs[p.ID]
	if content == nil {
		content = &packContent{id: p.ID, size: p.SizeBytes, frames: map[int64]format.Frame{}}
		ver.packs[p.ID] = content
	}
	fits := p.SizeBytes == content.size
	if strings.HasPrefix(object, format.AllCommits) {
		fits = fits && (content.whole == nil || slices.Equal(p.Frames, content.whole))
	}
	if fits && content.take(p) {
		if strings.HasPrefix(object, format.AllCommits) {
			content.whole = p.Frames
		}
		content.rows = append(content.rows, p.rows...)
		return
	}
	ver.addLoss(&packContent{rows: p.rows}, allFrames, &DamageError{Object: object, Kind: KindAltered,
		Cause: fmt.Errorf("it describes %s otherwise than others do", p.ID.Key())})
}

// take keeps frames by their place, unless others said otherwise of one.
func (c *packContent) take(p *visitedPack) bool {
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

// settlePacks proves, once all is read, that frames that different objects name do not
// overlap.
func (ver *verifier) settlePacks() {
	for _, c := range ver.packs {
		starts, end := c.starts(), int64(0)
		for _, start := range starts {
			if start < end || c.whole != nil && len(starts) > len(c.whole) {
				ver.addLoss(c, allFrames, &DamageError{Object: c.id.Key(), Kind: KindAltered,
					Cause: errors.New("the catalog names frames of it that overlap")})
				break
			}
			end = start + c.frames[start].StoredLength
		}
	}
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
	rows := slices.Clone(content.rows)
	rows = slices.DeleteFunc(rows, func(r packRow) bool { return start != allFrames && r.start != start })
	slices.SortFunc(rows, func(a, b packRow) int {
		return cmp.Or(a.stream.Compare(b.stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	var out []*DamageError
	for _, r := range rows {
		if n := len(out); n > 0 && out[n-1].Stream == r.stream && out[n-1].NextOffset >= r.FirstOffset {
			out[n-1].NextOffset = max(out[n-1].NextOffset, r.NextOffset)
			continue
		}
		d := *damage
		d.Stream, d.FirstOffset, d.NextOffset = r.stream, r.FirstOffset, r.NextOffset
		out = append(out, &d)
	}
	if len(out) == 0 {
		out = append(out, damage)
	}
	ver.add(out...)
}
