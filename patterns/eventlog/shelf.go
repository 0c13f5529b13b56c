package eventlog

// shelf holds the entries of a Memory in their order. They come at one end and go at the
// other: in boards of a fixed length, so that none moves while it is there, and the
// memory of those that have gone is free.
type shelf struct {
	boards [][]indexed
	gone   int // entries of the first board that have gone
	len    int
}

// indexed is an entry in memory, and those of its topic.
type indexed struct {
	Entry
	of *topicEntries
}

const boardLen = 256

// at returns the i-th entry, from 0.
func (s *shelf) at(i int) *indexed {
	i += s.gone
	return &s.boards[i/boardLen][i%boardLen]
}

// push adds an entry.
func (s *shelf) push(e indexed) {
	last := len(s.boards) - 1
	if last < 0 || len(s.boards[last]) == boardLen {
		// Only the first grows by degrees: most logs are small.
		board := []indexed(nil)
		if last >= 0 {
			board = make([]indexed, 0, boardLen)
		}
		s.boards = append(s.boards, board)
		last++
	}
	s.boards[last] = append(s.boards[last], e)
	s.len++
}

// pop removes the oldest entry.
func (s *shelf) pop() {
	s.boards[0][s.gone] = indexed{}
	s.len--
	if s.gone++; s.gone == boardLen {
		s.boards[0] = nil
		s.boards, s.gone = s.boards[1:], 0
	}
}
