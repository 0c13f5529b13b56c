package sim

func (e *event) before(f *event) bool {
	return e.when < f.when || e.when == f.when && e.ord < f.ord
}

// A heap of events with four children for each node. It is shallower than a binary heap, and the four
// children lie in neighbouring cache lines. container/heap would allocate for each event that it takes.
type heap []event

func (h *heap) push(e event) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
	*h = s
}

func (h *heap) pop() event {
	s := *h
	top := s[0]
	last := s[len(s)-1]
	s[len(s)-1] = event{}
	*h = s[:len(s)-1]
	if len(*h) > 0 {
		h.replace(last)
	}
	return top
}

// replace puts e in place of the first event.
func (h *heap) replace(e event) {
	s := *h
	i := 0
	for {
		first := 4*i + 1
		if first >= len(s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(s)); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if !s[least].before(&e) {
			break
		}
		s[i] = s[least]
		i = least
	}
	s[i] = e
}
