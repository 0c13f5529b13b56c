package sim

import "github.com/squall-sim/squall/sim/internal/tcp"

// A train is a number of packets that are at one place of one route and arrive at one instant, one after the
// other. The first of them stands for all: it has their event and, as long as nothing but time happens to
// them, it alone moves. A packet of a train can also stand for a run of segments (see tcp.SendRun). Where
// something happens to each segment, behind takes the run apart.
type train struct {
	next    *packet // packet after this one
	last    *packet
	packets int
	bytes   int
	largest int // packet, in bytes
	news    news
}

// news is what a train tells a connection.
type news struct {
	ack   uint64    // the highest
	flags tcp.Flags // all of them
	data  bool
}

// uncouple makes pkt a train of its own.
func (pkt *packet) uncouple() {
	pkt.train = train{last: pkt, largest: pkt.size}
	pkt.train.count(pkt)
}

// count adds a packet that is alone.
func (t *train) count(pkt *packet) {
	t.packets++
	t.bytes += pkt.size
	if pkt.proto == protoTCP && pkt.frag.whole == nil {
		t.news = t.news.and(newsOf(pkt.seg))
		if count := pkt.seg.Run(); count > 1 {
			t.packets += count - 1
			t.bytes += pkt.runSize(count) - pkt.size
		}
	}
}

// follow puts one packet at the end of a train; couple does the same with a train of one.
func (pkt *packet) follow(next *packet) {
	t := &pkt.train
	next.train.next = nil
	t.last.train.next = next
	t.last = next
	t.largest = max(t.largest, next.size)
	t.count(next)
}

// behind returns the packet after pkt in its train. If pkt was part of a run, the rest is then a packet of
// its own.
func (p *pool) behind(pkt *packet) *packet {
	if pkt.proto != protoTCP || pkt.frag.whole != nil || pkt.seg.Run() == 1 {
		return pkt.train.next
	}
	rest := p.tail(pkt)
	rest.train = train{next: pkt.train.next}
	pkt.train.next = rest
	return rest
}

// tail moves what is behind the first segment of a run to a packet of its own.
func (p *pool) tail(pkt *packet) *packet {
	rest, seg := taken(&p.packets), p.segments.get()
	pkt.seg.SplitTo(seg)
	*rest = *pkt
	rest.seg, rest.size = seg, seg.Size()
	return rest
}

// couple puts a train at the end of another.
func (pkt *packet) couple(head *packet) {
	t := &pkt.train
	t.last.train.next = head
	t.last = head.train.last
	t.packets += head.train.packets
	t.bytes += head.train.bytes
	t.largest = max(t.largest, head.train.largest)
	t.news = t.news.and(head.train.news)
}

func newsOf(s *tcp.Segment) news { return news{s.Ack, s.RunFlags(), len(s.Payload) > 0} }

func (a news) and(b news) news {
	return news{max(a.ack, b.ack), a.flags | b.flags, a.data || b.data}
}

// sameWay reports whether two packets belong to one flow and are at one place of one route. It is false for a
// fragment, whose news is not known.
func (pkt *packet) sameWay(other *packet) bool {
	return pkt.flow == other.flow && pkt.hop == other.hop && (pkt.frag.whole == nil) == (other.frag.whole == nil) &&
		len(pkt.pipes) == len(other.pipes) && len(pkt.pipes) > 0 && &pkt.pipes[0] == &other.pipes[0]
}
