package netem

import (
	"slices"
	"time"
)

// held are the arrivals of the packets that a link holds, as a heap with the earliest first.
type held []time.Duration

// count removes those that have arrived by now, and counts the others.
func (h *held) count(now time.Duration) int {
	for len(*h) > 0 && (*h)[0] <= now {
		h.pop()
	}
	return len(*h)
}

func (h *held) push(at time.Duration) {
	s := append(*h, at)
	for i := len(s) - 1; i > 0 && s[i] < s[(i-1)/2]; i = (i - 1) / 2 {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
	}
	*h = s
}

func (h *held) pop() {
	s := *h
	s[0] = s[len(s)-1]
	s = s[:len(s)-1]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s); c++ {
			if s[c] < s[least] {
				least = c
			}
		}
		if least == i {
			break
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
	*h = s
}

// move makes packets arrive at other times.
func (h *held) move(moves []Move) {
	for _, m := range moves {
		if i := slices.Index(*h, m.At); i >= 0 {
			(*h)[i] = m.NewAt
		}
	}
	slices.Sort(*h) // which is a heap too
}
