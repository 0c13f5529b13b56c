package sim_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Random programs keep their promises with middleboxes between client and server, on links that lose, reorder, duplicate and damage packets:
// TCP sends again what a box drops, and no host gets a byte of another host's connection.
func TestRandomProgramsBehindBoxes(t *testing.T) {
	t.Parallel()
	tryPrograms(t, 200, fewerUnderRace(25), func(p *program) { p.boxed = true })
}

// box is a middlebox of a random program: its router, its statistics, and whether it replaces the client's address.
type box struct {
	router *sim.Router
	stats  func() sim.TrackingStats
	masks  bool
}

// buildBoxes draws boxes between the second host and the others. The last of p.boxes is the outermost.
func (p *program) buildBoxes() {
	n, r := p.n, p.r
	p.mtu = pick(r, 0, 0, 0, 576, 1400, 9000)
	inner, outer := n.Router("r0"), n.Router("r1")
	var behind []sim.Node
	for i := range 2 + r.IntN(2) {
		p.hosts = append(p.hosts, n.Host(fmt.Sprintf("host%d", i)))
		if i != 1 {
			p.join(p.hosts[i], inner)
			behind = append(behind, p.hosts[i])
		}
	}
	n.Link(inner, outer, netem.Config{Delay: steps(r, 4), MTU: p.mtu}) // three that lose would be too many for some connections
	p.join(outer, p.hosts[1])
	tracking := func() sim.Tracking {
		return sim.Tracking{Stray: pick(r, sim.StrayAdopted, sim.StrayDropped), Liberal: p.one(4)}
	}
	nat := func(router *sim.Router, behind ...sim.Node) {
		t := router.NAT(sim.NATConfig{Tracking: tracking(), Ports: pick(r, 0, 0, 20)}, behind...)
		p.boxes = append(p.boxes, box{router, t.Stats, true})
	}
	firewall := func(router *sim.Router, openers ...sim.Node) {
		w := router.Firewall(tracking(), openers...)
		p.boxes = append(p.boxes, box{router, w.Stats, false})
	}
	switch r.IntN(4) {
	case 0:
		firewall(inner)
	case 1:
		firewall(inner, behind...)
		nat(outer, behind...)
	case 2:
		nat(inner, behind...)
		firewall(outer)
	case 3:
		nat(inner, behind...)
		nat(outer, inner)
	}
}

// seen fails the stream if the address of the server's peer is wrong: behind NATs it must be that of the outermost.
func (p *program) seen(s *stream, c net.Conn) {
	for i := len(p.boxes) - 1; i >= 0; i-- {
		if b := p.boxes[i]; b.masks {
			if from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); from != b.router.Addr() {
				s.fail("a connection from %v, and not from %v", from, b.router.Addr())
			}
			return
		}
	}
}

// boxesInOrder checks the boxes long after the end of all connections. Each box must have forgotten every connection, once, and dropped as many
// packets as it counted.
func (p *program) boxesInOrder() error {
	var all []error
	for _, b := range p.boxes {
		s, dropped := b.stats(), 0
		for e := range p.n.Trace().Events() {
			why, where, _ := strings.Cut(e.Note, " at ")
			if e.Kind == sim.Dropped && where == b.router.Name() && why != "fragment arrived before" && why != "fragments missing" {
				dropped++
			}
		}
		if s.Open != 0 || s.Opened != s.Expired || s.Full != 0 || s.Strays != dropped {
			all = append(all, fmt.Errorf("%s: %+v, and %d packets that it dropped", b.router.Name(), s, dropped))
		}
	}
	return errors.Join(all...)
}
