package pack

import "coldstream/vault/internal/format"

// Contents is a pack in the making: parts, in their order.
type Contents struct {
	parts  []*Part
	frames []*frame // of all parts
}

// Join puts parts together, in the order in which their data was fetched.
func Join(parts []*Part) *Contents {
	c := &Contents{}
	for _, part := range parts {
		c.add(part)
	}
	return c
}

// Parts are what it is made of.
func (c *Contents) Parts() []*Part { return c.parts }

// IsEmpty says that there are no bytes to store.
func (c *Contents) IsEmpty() bool { return len(c.frames) == 0 }

// add puts a part's frames behind those that the pack has.
func (c *Contents) add(part *Part) {
	for _, b := range part.Blocks {
		if b.Row.Length > 0 {
			b.Row.Frame = len(c.frames) + b.frame
		}
	}
	c.parts = append(c.parts, part)
	c.frames = append(c.frames, part.frames...)
}

// assemble is [Encoder.Assemble]. A body becomes one pack only: the store may still be reading
// it after it has failed.
func (c *Contents) assemble(vaultID format.VaultID, id format.PackID) ([]byte, []format.Frame) {
	entries, size := make([]format.Frame, len(c.frames)), 0
	for i, f := range c.frames {
		entries[i] = f.entry
		size += len(f.stored)
	}
	header, index := format.AppendPackHeader(nil, vaultID, id), format.AppendPackIndex(nil, entries)
	body := c.wholeBody(len(header))
	if body == nil {
		for _, part := range c.parts {
			part.body.used = true
		}
		body = &packBody{bytes: make([]byte, len(header), len(header)+size+len(index))}
		body.appendFrames(c.frames)
	}
	body.used = true
	copy(body.bytes, header)
	copy(body.extend(len(index)), index)
	return body.bytes, entries
}

// wholeBody returns the body that holds room for the header, the parts, and nothing else.
func (c *Contents) wholeBody(header int) *packBody {
	body, at := c.parts[0].body, header
	for _, part := range c.parts {
		if part.body != body || part.at != at {
			return nil
		}
		at = part.end
	}
	if body.used || at != len(body.bytes) {
		return nil
	}
	return body
}
