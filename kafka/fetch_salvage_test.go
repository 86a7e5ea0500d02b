package kafka

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/recordbatch"
)

// brokenLog answers fetches as Apache Kafka does of a file: it goes from the begin, or from
// an entry of its index, by the lengths of batches to the one that holds the offset, and sends
// what lies from there to the file's end as it is.
type brokenLog struct {
	files [][]byte
	// entries are offsets that the index of each file knows, with where they are in it.
	entries [][]recordPlace
	end     int64
}

type recordPlace struct {
	offset int64
	at     int
}

func (l *brokenLog) answer(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
	from := 0
	for i, file := range l.files {
		if int64(binary.BigEndian.Uint64(file)) <= asked.FetchOffset {
			from = i
		}
	}
	for i := from; i < len(l.files); i++ {
		at := 0
		for _, e := range l.entries[i] {
			if e.offset <= asked.FetchOffset {
				at = e.at
			}
		}
		for file := l.files[i]; at+recordbatch.HeaderSize <= len(file); {
			size := int64(int32(binary.BigEndian.Uint32(file[at+8:])))
			if size < 14 {
				return refusal(kerr.CorruptMessage.Code)
			}
			if int64(at)+12+size > int64(len(file)) {
				break // the file's end, for all that it knows
			}
			last := int64(binary.BigEndian.Uint64(file[at:])) + int64(int32(binary.BigEndian.Uint32(file[at+23:])))
			if last >= asked.FetchOffset {
				return answerOf(l.end, file[at:min(len(file), at+int(asked.PartitionMaxBytes))])
			}
			at += 12 + int(size)
		}
	}
	return answerOf(l.end)
}

// TestFetchGoesOnBehindDamage reads logs with a batch whose bytes are bad, in every way in which
// a broker meets them. Each batch holds ten records; the one at 20 is bad.
func TestFetchGoesOnBehindDamage(t *testing.T) {
	c := startFake(t)
	change := func(at int, value uint32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], value) }
	}
	all := func(first, next int64) (out []byte) {
		for ; first < next; first += 10 {
			out = append(out, ten(first)...)
		}
		return out
	}
	size := len(ten(20))
	for what, damage := range map[string]func([]byte){
		"value":             func(b []byte) { b[len(b)-1] ^= 1 },
		"length 0":          change(8, 0),
		"length -1":         change(8, 1<<32-1),
		"length in a log":   change(8, uint32(size+50)),
		"length of a giant": change(8, 1<<31-1),
		"length too long":   change(8, 5000),
		"zeros":             func(b []byte) { clear(b) },
		"header":            func(b []byte) { clear(b[:recordbatch.HeaderSize]) },
	} {
		bad := func(from, next int64) []byte {
			log := all(from, next)
			damage(log[len(all(from, 20)):][:size])
			return log
		}
		for where, test := range map[string]struct {
			log  *brokenLog
			want []string
		}{
			"in the only file": {&brokenLog{files: [][]byte{bad(0, 60)}}, []string{"data [0,20)", "gap [20,30) corrupt", "data [30,60)", "done 60"}},
			"last":             {&brokenLog{files: [][]byte{bad(0, 30)}}, []string{"data [0,20)", "gap [20,30) corrupt", "done 30"}},
			"before another file": {
				&brokenLog{files: [][]byte{bad(0, 40), all(40, 60)}},
				[]string{"data [0,20)", "gap [20,30) corrupt", "data [30,60)", "done 60"},
			},
			"first of a file, with an index": {
				&brokenLog{files: [][]byte{all(0, 20), bad(20, 60)}, entries: [][]recordPlace{nil, {{39, size}}}},
				[]string{"data [0,20)", "gap [20,30) corrupt", "data [30,60)", "done 60"},
			},
			"first of a file, without an index": {
				&brokenLog{files: [][]byte{all(0, 20), bad(20, 40), all(40, 60)}},
				[]string{"data [0,20)", "gap [20,40) corrupt", "data [40,60)", "done 60"},
			},
		} {
			t.Run(where+"/"+what, func(t *testing.T) {
				t.Parallel()
				log := test.log
				if log.entries == nil {
					log.entries = make([][]recordPlace, len(log.files))
				}
				want := test.want
				if log.end = 60; where == "last" {
					log.end = 30
				}
				if where == "first of a file, without an index" && (what == "value" || what == "length in a log") {
					want = []string{"data [0,20)", "gap [20,30) corrupt", "data [30,60)", "done 60"}
				}
				if len(log.files) > 1 && int64(binary.BigEndian.Uint64(log.files[1])) == 0 {
					binary.BigEndian.PutUint64(log.files[1], 20) // a file has its name
				}
				plan := c.filled(t, 1, int(log.end/10))
				c.answerFetches(plan[0].TopicPartition, plan[0].TopicID, log.answer)
				r := fetch(t, c.Client, plan...)
				r.wantStory(t, plan[0].TopicPartition, want...)
			})
		}
	}
}

// TestSearchIsNotDeceived leaves a batch alone that is only the content of a record.
func TestSearchIsNotDeceived(t *testing.T) {
	inner := ten(40)
	outer, err := recordbatch.Build([]recordbatch.Absolute{{Offset: 20, Value: slices.Concat([]byte("before"), inner, []byte("behind"))}},
		recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	bad := placed(outer, 20, 0)
	bad[len(bad)-1] ^= 1
	binary.BigEndian.PutUint32(bad[8:], 1<<31-1) // nor does the length help
	p := &fetchPartition{FetchPosition: coldstream.FetchPosition{NextOffset: 20, StopOffset: 60}, log: coldstream.LogOffsets{HighWatermark: 60}, leaderEpoch: -1}
	found, isBad := p.search(look{bytes: slices.Concat(bad, ten(50))})
	if !isBad || found.firstOffset != 50 || !bytes.Equal(found.bytes, ten(50)) {
		t.Errorf("found %d bytes from offset %d, bad: %t; want the batch of 50", len(found.bytes), found.firstOffset, isBad)
	}
	found, isBad = p.search(look{bytes: bad})
	if !isBad || len(found.bytes) > 0 {
		t.Errorf("found %d bytes from offset %d, bad: %t; want none", len(found.bytes), found.firstOffset, isBad)
	}
}
