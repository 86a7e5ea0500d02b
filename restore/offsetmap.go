package restore

import "sort"

// mapped is a run of records with consecutive offsets on both sides.
type mapped struct {
	Source int64 `json:"source_offset"`
	Target int64 `json:"target_offset"`
	Count  int64 `json:"count"`
}

// next is the source offset behind the run.
func (m mapped) next() int64 { return m.Source + m.Count }

// offsetMap translates offsets of one source partition to those of its target. It is a
// list of runs, not of records.
type offsetMap struct {
	runs []mapped
	// start and next are the target's ends of what was restored.
	start, next int64
	// written is the source offset behind the runs that were written to a piece, and are not
	// in runs any more. Of those only the answers for the offsets wanted are kept.
	written int64
	wanted  []int64
	answers map[int64]int64
}

// add appends records that were produced; both offsets ascend.
func (m *offsetMap) add(r mapped) {
	if n := len(m.runs); n > 0 {
		last := &m.runs[n-1]
		if last.Source+last.Count == r.Source && last.Target+last.Count == r.Target {
			last.Count += r.Count
			return
		}
	}
	m.runs = append(m.runs, r)
}

// translate finds where a consumer that would read offset next must go on: at the first
// restored record at or after it, or at the end.
func (m *offsetMap) translate(offset int64) int64 {
	i := sort.Search(len(m.runs), func(i int) bool { return m.runs[i].Source+m.runs[i].Count > offset })
	if i == len(m.runs) {
		return m.next
	}
	r := m.runs[i]
	return r.Target + max(0, offset-r.Source)
}
