package eventlog

import (
	"sort"
)

// topicIndex says where the entries of each topic are, so that a reader of a few topics
// need not look at all the others' entries. It holds a topic for as long as there is an
// entry of it, and 8 bytes for each entry.
type topicIndex map[string]*topicEntries

// topicEntries are the offsets of one topic's entries, ascending.
type topicEntries struct {
	topic   string
	offsets []uint64
}

// add enters the newest entry.
func (x topicIndex) add(topic string, offset uint64) *topicEntries {
	of := x[topic]
	if of == nil {
		of = &topicEntries{topic: topic}
		x[topic] = of
	}
	of.offsets = append(of.offsets, offset)
	return of
}

// drop forgets the oldest entry of a topic.
func (x topicIndex) drop(of *topicEntries) {
	if of.offsets = of.offsets[1:]; len(of.offsets) == 0 {
		delete(x, of.topic)
	}
}

// after returns the offsets of the topic's entries after one.
func (of *topicEntries) after(offset uint64) []uint64 {
	i := sort.Search(len(of.offsets), func(i int) bool { return of.offsets[i] > offset })
	return of.offsets[i:]
}

// find returns the entries after an offset that a query wants, for one that wants not all.
func (x topicIndex) find(offset uint64, q *Query) merge {
	var m merge
	enter := func(of *topicEntries) {
		if of == nil || q.Match != nil && !q.Match(of.topic) {
			return
		}
		if rest := of.after(offset); len(rest) > 0 {
			m = append(m, rest)
		}
	}
	if len(q.Topics) > 0 {
		for _, topic := range q.Topics {
			enter(x[topic])
		}
	} else {
		for _, of := range x {
			enter(of)
		}
	}
	for i := len(m)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m
}

// merge yields the offsets of several topics in their order: a heap by the first of each.
// The same topic may be in it twice.
type merge [][]uint64

// next takes the least offset out. It returns 0 when there is none.
func (m *merge) next() (least uint64) {
	for len(*m) > 0 && (least == 0 || (*m)[0][0] == least) {
		least = (*m)[0][0]
		if (*m)[0] = (*m)[0][1:]; len((*m)[0]) == 0 {
			last := len(*m) - 1
			(*m)[0] = (*m)[last]
			*m = (*m)[:last]
		}
		m.sink(0)
	}
	return least
}

func (m merge) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(m) {
			return
		}
		if child+1 < len(m) && m[child+1][0] < m[child][0] {
			child++
		}
		if m[i][0] <= m[child][0] {
			return
		}
		m[i], m[child] = m[child], m[i]
		i = child
	}
}
