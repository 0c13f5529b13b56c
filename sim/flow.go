package sim

import "github.com/squall-sim/squall/netem"

// A flow is the packets of one socket to one destination. On each pipe of its path it has a random stream of
// its own. So other traffic neither changes its draws nor shares them.
type flow struct {
	path     *path
	log      said         // of TCP
	id       uint64       // see flowID; zero for packets that belong to no socket
	topology uint64       // state of the network that the streams belong to
	first    *pipe        // pipe of the route
	stream1  netem.Stream // its stream
	rest     *[]hopStream // streams of the later pipes; nil if there are none
	peer     *TCPConn     // that received the last segment
}

// nextWaiter returns the call that the packet in flight will probably wake: one blocked at the peer.
func (f *flow) nextWaiter() *waiter {
	switch c := f.peer; {
	case c == nil:
		return nil
	case c.in.q.w != nil:
		return c.in.q.w
	default:
		return c.out.q.w
	}
}

type hopStream struct {
	pipe   *pipe
	stream netem.Stream
}

// flowID distinguishes the flows of one path.
func flowID(proto protocol, from, to uint16) uint64 {
	return uint64(proto)<<32 | uint64(from)<<16 | uint64(to)
}

// stream returns the flow's stream on a pipe, the hop-th of a packet's route. The packet may still be on a
// route that is no longer the flow's: then it draws from a fresh stream.
func (f *flow) stream(p *pipe, hop int) *netem.Stream {
	if f.topology != f.path.n.wires.version {
		f.reroute()
	}
	if f.first == p {
		return &f.stream1
	}
	if f.rest != nil {
		rest := *f.rest
		if 0 < hop && hop <= len(rest) && rest[hop-1].pipe == p {
			return &rest[hop-1].stream
		}
		if s := find(rest, p); s != nil {
			return s
		}
	}
	s := f.fresh(p)
	return &s
}

// find returns the stream on a pipe, or nil.
func find(hops []hopStream, p *pipe) *netem.Stream {
	for i := range hops {
		if hops[i].pipe == p {
			return &hops[i].stream
		}
	}
	return nil
}

// fresh returns the stream with which a flow begins on a pipe. Flows of other paths may have the same ports,
// since hosts that dial the same server all begin with the same port. So pipes that paths share also
// distinguish flows by their ends.
func (f *flow) fresh(p *pipe) netem.Stream {
	s := p.draws.Derive(f.id>>32, f.id&(1<<32-1))
	if from := f.path.from; from != nil && (p.from != from || p.to != f.path.to) {
		s = s.Derive(f.path.hash)
	}
	return s
}

// reroute follows a change of the topology. Streams on pipes that remain go on.
func (f *flow) reroute() {
	before := []hopStream{{f.first, f.stream1}}
	if f.rest != nil {
		before = append(before, *f.rest...)
	}
	pipes := f.path.pipes()
	f.topology, f.rest = f.path.topology, nil
	for i, p := range pipes {
		s := f.fresh(p)
		if old := find(before, p); old != nil {
			s = *old
		}
		if i == 0 {
			f.first, f.stream1 = p, s
			if len(pipes) > 1 {
				f.rest = new(make([]hopStream, 0, len(pipes)-1))
			}
		} else {
			*f.rest = append(*f.rest, hopStream{p, s})
		}
	}
}
