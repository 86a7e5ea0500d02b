package pack

import (
	"context"
	"fmt"

	"coldstream"
	"coldstream/vault/internal/format"
)

// Moved is the bytes of a row that is to lie elsewhere.
type Moved struct {
	Stream coldstream.Stream
	// Row keeps all that it says, but for where its bytes are.
	Row     format.Row
	Batches []byte
}

// Move makes rows, sorted by stream and offset, ready to be put into another pack. What they hold is
// checked against what they say. Each becomes one block, in their order.
func (e *Encoder) Move(ctx context.Context, rows []Moved) (*Part, error) {
	var blocks []*Block
	for i := range rows {
		m := &rows[i]
		if err := CheckRow(m.Batches, &m.Row); err != nil {
			return nil, fmt.Errorf("move %s offsets [%d, %d): %w", m.Stream.TopicPartition(), m.Row.FirstOffset, m.Row.NextOffset, err)
		}
		b := &Block{Stream: m.Stream, Row: m.Row, parts: [][]byte{m.Batches}}
		for rest := m.Batches; len(rest) > 0; {
			batch, after, err := NextBatch(rest)
			if err != nil {
				return nil, err
			}
			if isCompressedBatch(batch) {
				b.compressed += int64(len(batch))
			}
			rest = after
		}
		blocks = append(blocks, b)
	}
	return e.encodeBlocks(ctx, blocks)
}
