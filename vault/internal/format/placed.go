package format

// PlacedPack is a pack as an object of the catalog describes it, with where each of the frames
// that are listed begins in it.
type PlacedPack struct {
	Pack
	Starts []int64
}

// Place says where the frames of a pack of a vault begin.
func (p *Pack) Place(vaultID VaultID) *PlacedPack {
	placed := &PlacedPack{Pack: *p, Starts: p.FrameStarts()}
	header := int64(PackHeaderSize(vaultID, p.ID))
	for i := range placed.Starts {
		placed.Starts[i] += header
	}
	return placed
}

// FrameStarts says where each listed frame begins behind the pack's header.
func (p *Pack) FrameStarts() []int64 {
	out, at := make([]int64, len(p.Frames)), int64(0)
	for i, f := range p.Frames {
		at += f.Skipped
		out[i] = at
		at += f.StoredLength
	}
	return out
}

// EndOf is where a frame ends.
func (p *PlacedPack) EndOf(frame int) int64 { return p.Starts[frame] + p.Frames[frame].StoredLength }
