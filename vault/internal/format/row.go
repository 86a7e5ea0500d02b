package format

import "encoding/binary"

func (w *Row) append(dst []byte) []byte {
	dst = appendRange(dst, rangeOf{w.Stream, w.Scan, w.FirstOffset, w.NextOffset})
	dst = appendVarint(dst, w.CommitMs)
	dst = binary.AppendUvarint(dst, uint64(w.Length))
	if w.Length == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(w.Pack))
	dst = binary.AppendUvarint(dst, uint64(w.Frame))
	dst = binary.AppendUvarint(dst, uint64(w.Offset))
	dst = appendVarint(dst, w.BaseOffset-w.FirstOffset)
	dst = appendVarint(dst, w.MaxTimestampMs)
	dst = binary.AppendUvarint(dst, uint64(w.Batches))
	dst = binary.AppendUvarint(dst, uint64(w.Records))
	dst = binary.AppendUvarint(dst, uint64(w.MaxBatchBytes))
	dst = appendEpochs(dst, w.Epochs)
	dst = binary.AppendUvarint(dst, uint64(len(w.Markers)))
	for _, m := range w.Markers {
		dst = binary.AppendUvarint(dst, uint64(m.Offset))
		dst = appendVarint(dst, m.ProducerID)
		dst = appendVarint(dst, int64(m.ProducerEpoch))
		dst = appendBool(dst, m.Commit)
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.Transactions)))
	for _, t := range w.Transactions {
		dst = binary.AppendUvarint(dst, uint64(t.FirstOffset))
		dst = appendVarint(dst, t.ProducerID)
		dst = appendVarint(dst, int64(t.ProducerEpoch))
	}
	return dst
}

func (f *Facts) readRow(r *reader) Row {
	g := f.readRange(r)
	w := Row{
		Stream: g.Stream, Scan: g.Scan, FirstOffset: g.FirstOffset, NextOffset: g.NextOffset,
		BaseOffset: g.FirstOffset, MaxTimestampMs: -1,
	}
	w.CommitMs = r.varint()
	if w.Length = r.offset(); w.Length == 0 || r.err != nil {
		return w
	}
	w.Pack = r.index(len(f.Packs))
	if r.err != nil {
		return w
	}
	frames := f.Packs[w.Pack].Frames
	w.Frame, w.Offset = r.index(len(frames)), r.offset()
	w.BaseOffset = w.FirstOffset + r.varint()
	w.MaxTimestampMs = r.varint()
	w.Batches, w.Records, w.MaxBatchBytes = r.offset(), r.offset(), r.offset()
	w.Epochs = readEpochs(r)
	w.Markers = readList(r, 4, func(r *reader) Marker {
		return Marker{r.offset(), r.varint(), r.int16(), r.bool()}
	})
	w.Transactions = readList(r, 3, func(r *reader) TransactionStart {
		t := TransactionStart{FirstOffset: r.offset()}
		t.ProducerID, t.ProducerEpoch = r.varint(), r.int16()
		return t
	})
	if r.err == nil {
		w.check(r, frames[w.Frame].DecodedLength)
	}
	return w
}

// check proves that the parts of a row with bytes fit together.
func (w *Row) check(r *reader, decoded int64) {
	switch {
	case w.Offset > decoded-w.Length:
		r.fail("row of bytes [%d, +%d) in a frame of %d", w.Offset, w.Length, decoded)
	case w.BaseOffset < 0 || w.BaseOffset >= w.NextOffset:
		r.fail("row [%d, %d) whose first batch is at %d", w.FirstOffset, w.NextOffset, w.BaseOffset)
	case w.Batches == 0 || w.Batches > w.Length || w.MaxBatchBytes == 0 || w.MaxBatchBytes > w.Length:
		r.fail("row of %d bytes with %d batches of up to %d", w.Length, w.Batches, w.MaxBatchBytes)
	}
	w.ascend(r, "leader epoch", len(w.Epochs), func(i int) int64 { return w.Epochs[i].FirstOffset })
	w.ascend(r, "marker", len(w.Markers), func(i int) int64 { return w.Markers[i].Offset })
	w.ascend(r, "transaction", len(w.Transactions), func(i int) int64 { return w.Transactions[i].FirstOffset })
}

// ascend proves that n offsets lie in the row's batches, each after the one before.
func (w *Row) ascend(r *reader, what string, n int, offset func(i int) int64) {
	least := w.BaseOffset
	for i := range n {
		at := offset(i)
		if at < least || at >= w.NextOffset {
			r.fail("%s at offset %d in a row from %d to %d", what, at, least, w.NextOffset)
			return
		}
		least = at + 1
	}
}

func appendEpochs(dst []byte, epochs []EpochStart) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(epochs)))
	for _, e := range epochs {
		dst = binary.AppendUvarint(dst, uint64(e.Epoch))
		dst = binary.AppendUvarint(dst, uint64(e.FirstOffset))
	}
	return dst
}

// readEpochs reads leader epochs, which ascend together with their first offsets.
func readEpochs(r *reader) []EpochStart {
	epochs := readList(r, 2, func(r *reader) EpochStart { return EpochStart{r.partition(), r.offset()} })
	for i := 1; i < len(epochs); i++ {
		if epochs[i].Epoch <= epochs[i-1].Epoch || epochs[i].FirstOffset <= epochs[i-1].FirstOffset {
			r.fail("leader epochs are not in order")
		}
	}
	return epochs
}
