package sim

import "slices"

// link makes routes use both directions of a new link.
func (w *topology) link(ab, ba *pipe) {
	for _, p := range []*pipe{ab, ba} {
		w.linked[nodes{p.from, p.to}] = p
		p.from.links = append(p.from.links, p)
		if p.to.router {
			p.from.inner = append(p.from.inner, p)
		}
	}
	if ab.from.router && ab.to.router {
		clear(w.searches)
	}
}

// shortest finds the route with the fewest links through routers. Of several it is the one whose links were
// made first: where two part, the one that goes on by the earlier link. It is nil if there is no route.
//
// Hosts forward nothing. So one search from each router, over routers alone, serves all hosts around it,
// including later ones.
func (w *topology) shortest(from, to *node) []*pipe {
	if p := w.linked[nodes{from, to}]; p != nil {
		return []*pipe{p}
	}
	if from.router {
		if found := w.search(from).to(to); found != nil {
			return w.along(nil, found, to)
		}
		return nil
	}
	var first *pipe
	var best *reached
	for _, p := range from.inner {
		if found := w.search(p.to).to(to); found != nil && (best == nil || found.links < best.links) {
			first, best = p, found
		}
	}
	if best == nil {
		return nil
	}
	return w.along(first, best, to)
}

// along returns the route over a first link, if there is one, to a router that was found, and on to a node,
// if that is another.
func (w *topology) along(first *pipe, found *reached, to *node) []*pipe {
	way := make([]*pipe, 0, found.links+2)
	if found.router != to {
		way = append(way, w.linked[nodes{found.router, to}])
	}
	for ; found.by != nil; found = found.before {
		way = append(way, found.by)
	}
	if first != nil {
		way = append(way, first)
	}
	slices.Reverse(way)
	return way
}

// A search is a breadth-first search for routers from one of them. It continues where it stopped.
type search struct {
	w     *topology
	found map[*node]*reached
	queue []*reached // in the order in which they were found
	next  int        // the one to look at next
}

// reached is a router as a search has found it.
type reached struct {
	router *node
	links  int      // on the way to it
	place  int      // in the order of the search
	by     *pipe    // last of those links; nil where the search began
	before *reached // router where that link begins
}

// search returns the search that begins at a router.
func (w *topology) search(router *node) *search {
	s := w.searches[router]
	if s == nil {
		s = &search{w: w, found: map[*node]*reached{}}
		s.reach(&reached{router: router})
		w.searches[router] = s
	}
	return s
}

// to finds the first router that is a node itself or linked to it, or nil.
func (s *search) to(to *node) (first *reached) {
	if r := s.found[to]; r != nil {
		return r
	}
	for _, p := range to.inner {
		if r := s.found[p.to]; !to.router && r != nil && (first == nil || r.place < first.place) {
			first = r
		}
	}
	for first == nil && s.next < len(s.queue) {
		first = s.step(to)
	}
	return first
}

// step looks at one router, and returns the first router that it leads to and that to has asked for.
func (s *search) step(to *node) (first *reached) {
	at := s.queue[s.next]
	s.next++
	for _, p := range at.router.inner {
		if s.found[p.to] != nil {
			continue
		}
		r := &reached{router: p.to, links: at.links + 1, by: p, before: at}
		s.reach(r)
		if first == nil && (p.to == to || !to.router && s.w.linked[nodes{p.to, to}] != nil) {
			first = r
		}
	}
	return first
}

func (s *search) reach(r *reached) {
	r.place = len(s.queue)
	s.found[r.router] = r
	s.queue = append(s.queue, r)
}
