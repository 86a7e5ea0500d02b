package vaultcopy

import (
	"context"
	"errors"

	"coldstream"
	"coldstream/vault"
)

// streamCopy makes pieces of the batches of one view.
type streamCopy struct {
	*copier
	view  vault.View
	at    int64 // all below is in pieces or gaps
	piece vault.Piece
	gaps  []coldstream.Gap // of the view, still ahead
}

// add takes a batch. The hole in front of it is one that the log had, unless a gap is there.
func (s *streamCopy) add(ctx context.Context, batch []byte, firstOffset, nextOffset int64) error {
	if err := s.passGaps(ctx, firstOffset); err != nil {
		return err
	}
	if len(s.piece.Batches)+len(batch) > s.opts.BufferBytes/4 {
		if err := s.close(ctx, s.at); err != nil {
			return err
		}
	}
	if len(s.piece.Batches) == 0 {
		s.piece.FirstOffset = s.at
	}
	s.piece.Batches = append(s.piece.Batches, batch...)
	s.at = max(s.at, nextOffset)
	return nil
}

// passGaps writes down the gaps in front of an offset.
func (s *streamCopy) passGaps(ctx context.Context, before int64) error {
	for len(s.gaps) > 0 && s.gaps[0].FirstOffset < before {
		gap := s.gaps[0]
		s.gaps = s.gaps[1:]
		if gap.NextOffset <= s.at {
			continue
		}
		if err := s.close(ctx, gap.FirstOffset); err != nil {
			return err
		}
		s.addGap(vault.StreamGap{
			Stream: s.view.Stream, Scan: s.view.Scan, FirstOffset: max(s.at, gap.FirstOffset), NextOffset: gap.NextOffset, Cause: gap.Cause,
		})
		s.at = gap.NextOffset
	}
	return nil
}

// close ends the piece: it is all that the log held up to nextOffset.
func (s *streamCopy) close(ctx context.Context, nextOffset int64) error {
	if len(s.piece.Batches) == 0 {
		s.piece.FirstOffset = s.at
	}
	s.piece.NextOffset = max(s.at, nextOffset)
	s.at = s.piece.NextOffset
	piece := s.piece
	s.piece = vault.Piece{}
	if piece.NextOffset <= piece.FirstOffset {
		return nil
	}
	return s.hand(ctx, vault.StreamData{Stream: s.view.Stream, Scan: s.view.Scan, Pieces: []vault.Piece{piece}})
}

func (s *streamCopy) finish(ctx context.Context) error {
	if err := s.passGaps(ctx, s.view.NextOffset); err != nil {
		return err
	}
	return s.close(ctx, s.view.NextOffset)
}

func (c *copier) addGap(gap vault.StreamGap) {
	c.pending.gaps = append(c.pending.gaps, gap)
	c.result.Gaps = append(c.result.Gaps, coldstream.Gap{
		TopicPartition: gap.Stream.TopicPartition(), FirstOffset: gap.FirstOffset, NextOffset: gap.NextOffset, Cause: gap.Cause,
	})
}

// hand takes a piece, encodes when there is a buffer of them, and commits when there is a pack.
func (c *copier) hand(ctx context.Context, data vault.StreamData) error {
	size := len(data.Pieces[0].Batches)
	if n := len(c.pending.data); n > 0 && c.pending.data[n-1].Stream == data.Stream && c.pending.data[n-1].Scan == data.Scan {
		c.pending.data[n-1].Pieces = append(c.pending.data[n-1].Pieces, data.Pieces...)
	} else {
		c.pending.data = append(c.pending.data, data)
	}
	c.pending.bytes += size
	c.result.BytesRead += int64(size)
	c.opts.Observer.Observe(&coldstream.Progress{Activity: "copy", Bytes: int64(size), Offsets: data.Pieces[0].NextOffset - data.Pieces[0].FirstOffset})
	if c.pending.bytes < c.opts.BufferBytes {
		return nil
	}
	if err := c.encode(ctx); err != nil {
		return err
	}
	if c.pending.size < packBytes {
		return nil
	}
	return c.commit(ctx, nil)
}

// encode makes a part of what waits: so no more than a buffer is in memory undone.
func (c *copier) encode(ctx context.Context) error {
	if len(c.pending.data) == 0 {
		return nil
	}
	part, err := c.writer.Encode(ctx, c.pending.data)
	if err != nil {
		return err
	}
	c.pending.parts, c.pending.size = append(c.pending.parts, part), c.pending.size+part.StoredBytes()
	c.pending.data, c.pending.bytes = nil, 0
	return nil
}

// commit stores what is pending. What an interrupted copy has read is kept for the next.
func (c *copier) commit(ctx context.Context, snapshot *vault.NewSnapshot) error {
	if c.writer == nil || c.opts.DryRun {
		return nil
	}
	if err := c.encode(ctx); err != nil {
		return err
	}
	p := &c.pending
	if snapshot == nil && len(p.parts)+len(p.gaps)+len(p.scans) == 0 {
		return nil
	}
	receipt, err := c.writer.Commit(ctx, vault.Changes{Parts: p.parts, Gaps: p.gaps, Scans: p.scans, Snapshot: snapshot, AsOf: c.asOf})
	if errors.Is(err, vault.ErrReleased) {
		return errors.Join(errors.New("the target released meanwhile what was to be copied"), err)
	}
	if err != nil {
		return err
	}
	c.pending = pending{}
	c.result.BytesStored += receipt.BytesStored
	c.result.ObjectsStored += receipt.Objects
	c.result.VaultHash = receipt.VaultHash
	return nil
}
