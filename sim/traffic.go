package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"slices"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/netem"
)

// Traffic is what a [CrossTraffic] sends: UDP datagrams at a Rate, or as much as some TCP Connections can.
//
//	sim.Traffic{Rate: 5 * netem.Mbit}                                             a datagram of 1500 bytes every 2.4 ms
//	sim.Traffic{Rate: netem.Mbit, Size: 200, Poisson: true}                       calls, at drawn instants
//	sim.Traffic{Rate: 20 * netem.Mbit, On: time.Second, Off: 9 * time.Second}     bursts, 2 Mbit/s on average
//	sim.Traffic{Connections: 2}                                                   two downloads
type Traffic struct {
	// Rate is the bit rate of the datagrams while they are sent, IP and UDP headers included. The limit is a
	// million datagrams a second. Excludes Connections.
	Rate netem.BitRate

	// Size is the size of a datagram in bytes, IP and UDP headers included: 28 to 65535; 0 means 1500. A
	// datagram larger than the path's MTU travels in fragments.
	Size int

	// Poisson draws the times between datagrams from the exponential distribution with mean Size over Rate,
	// so that they arrive like those of many independent senders. By default the times are equal.
	Poisson bool

	// On and Off make datagrams start and stop: they are sent for On, then not for Off, again and again. Set
	// both or neither.
	On, Off time.Duration

	// Connections is how many TCP connections send without end, 1 to 1000, like large downloads. The
	// simulator opens them with the TCP settings of their host, and their congestion control decides how they
	// share the path with the program's connections. A connection that fails is opened again after a second.
	// Excludes all other fields.
	Connections int
}

// The discard service (RFC 863); CrossTraffic uses ports from here on.
const discardPort = 9

// CrossTraffic makes a fault by which one host sends traffic of others, not of the program, to another host.
// The traffic takes its share of the links, queues and middleboxes on the path, and over routers also of
// bottlenecks that others use. The first datagram is sent at once, or with Poisson after a random time. Fired
// counts the packets that from sends; those of TCP count once the connection stands.
//
// Sender and receiver are processes of their hosts, as those of [Host.Run] are: a crash ends them, a restart
// starts them again. Both use IPv4 and the first port from 9 on that is free on both hosts when the fault
// begins. When the fault is over, connections are reset at once, and packets still in flight are answered
// with RST and ICMP. The same seed draws the same times whatever else is sent; if the fault begins again,
// they are different.
//
// CrossTraffic panics if both hosts are the same, or a field of t is not valid. Give it an end: as long as it
// lasts, squall does not notice that a test waits in vain for something else.
func CrossTraffic(from, to *Host, t Traffic) *Fault {
	from.must("CrossTraffic")
	to.must("CrossTraffic")
	n := from.n
	n.mustSimulate("CrossTraffic")
	n.nodeOf("CrossTraffic", to)
	if from == to {
		panic(fmt.Sprintf("sim: CrossTraffic: both hosts are %q: they must be different", from.name))
	}
	if err := t.check(); err != nil {
		panic(fmt.Sprintf("sim: CrossTraffic: %s > %s: %v", from.name, to.name, err))
	}
	f := n.newFault("cross traffic from "+from.name+", "+t.words(), &from.node, &to.node, expression{"CrossTraffic", []any{from, to, t}})
	f.miss = "packet to send"
	t.Size = cmp.Or(t.Size, 1500)
	c := &crossing{Traffic: t, fault: f, to: to}
	c.roles = c.rolesOf(from)
	f.begin = func() {
		port := freeOnBoth(from, to, c.spell.port)
		draws := netem.NewStream(n.seed, "traffic", from.name, to.name)
		c.spell = crossingSpell{number: c.spell.number + 1, since: time.Duration(n.now()), port: port}
		c.spell.draws = draws.Derive(uint64(port), c.spell.number)
		c.run()
	}
	f.end = c.stop
	return f.enlisted()
}

// check returns an error if t makes no sense.
func (t Traffic) check() error {
	switch {
	case t.Connections < 0 || t.Connections > 1000:
		return fmt.Errorf("Traffic.Connections is %d: it must be 0 to 1000", t.Connections)
	case t.Rate < 0:
		return fmt.Errorf("Traffic.Rate is %v: it must be positive, or 0 with Connections", t.Rate)
	case t.Rate == 0 && t.Connections == 0:
		return errors.New("Traffic.Rate and Traffic.Connections are 0: one of them must be set")
	case t.Rate > 0 && t.Connections > 0:
		return fmt.Errorf("Traffic.Connections is %d: it must be 0 with a Rate, which is for UDP", t.Connections)
	case t.Connections > 0 && (t.Size != 0 || t.Poisson || t.On != 0 || t.Off != 0):
		return fmt.Errorf("Traffic.Connections is %d: Size, Poisson, On and Off are for UDP and must not be set with it", t.Connections)
	case t.Size != 0 && (t.Size < ipHeader+udpHeader || t.Size > 65535):
		return fmt.Errorf("Traffic.Size is %d: it must be %d to 65535, or 0 for 1500", t.Size, ipHeader+udpHeader)
	case t.On < 0 || t.Off < 0 || (t.On == 0) != (t.Off == 0):
		return fmt.Errorf("Traffic.On and Traffic.Off are %v and %v: both must be positive, or both 0", t.On, t.Off)
	}
	if most := netem.BitRate(cmp.Or(t.Size, 1500)) * 8 * 1e6; t.Rate > most {
		return fmt.Errorf("Traffic.Rate is %v: it must be at most %v, a million packets in a second", t.Rate, most)
	}
	return nil
}

func (t Traffic) words() string {
	switch {
	case t.Connections > 0:
		return count.Of(t.Connections, "connection", "connections") + " of TCP"
	case t.On > 0:
		return fmt.Sprintf("UDP at %v, %v on and %v off", t.Rate, t.On, t.Off)
	}
	return fmt.Sprintf("UDP at %v", t.Rate)
}

// freeOnBoth finds a port that neither host uses, and that no other cross traffic of theirs has. It does not
// return the last one, whose sockets may be about to be closed.
func freeOnBoth(a, b *Host, last uint16) uint16 {
	free := func(h *Host, p uint16) bool {
		return len(h.table.udp.at(p)) == 0 && len(h.table.listeners.at(p)) == 0 && !slices.Contains(h.table.crossings, p)
	}
	for p := uint16(discardPort); p < firstEphemeral; p++ {
		if p != last && free(a, p) && free(b, p) {
			return p
		}
	}
	panic(fmt.Sprintf("sim: CrossTraffic: %s and %s have no free port below %d in common", a.name, b.name, firstEphemeral))
}

// A crossing is a Traffic between two hosts.
type crossing struct {
	Traffic
	fault *Fault
	to    *Host
	roles []crossingRole

	spell     crossingSpell // the engine sets this, and its processes ask for it
	processes []*process
}

// A crossingRole is what a process does for it.
type crossingRole struct {
	host *Host
	f    func(context.Context, *Host) error
}

// A crossingSpell is the time from the beginning of its fault to the end.
type crossingSpell struct {
	number uint64 // from 1
	since  time.Duration
	port   uint16
	draws  netem.Stream
}

func (c *crossing) rolesOf(from *Host) []crossingRole {
	if c.Connections == 0 {
		return []crossingRole{{c.to, c.takeDatagrams}, {from, c.sendDatagrams}}
	}
	roles := []crossingRole{{c.to, c.takeStreams}}
	for range c.Connections {
		roles = append(roles, crossingRole{from, c.sendStream})
	}
	return roles
}

// asked returns the spell, for a process.
func (c *crossing) asked() crossingSpell { return get(c.to.n, func() crossingSpell { return c.spell }) }

// run starts the processes of both hosts. The lock is held.
func (c *crossing) run() {
	for _, r := range c.roles {
		c.processes = append(c.processes, r.host.addProcess(c.fault.what, r.f))
		r.host.table.crossings = append(r.host.table.crossings, c.spell.port)
	}
}

// stop ends what run began. The lock is held.
func (c *crossing) stop() {
	for _, p := range c.processes {
		h := p.host
		p.call(p.stop)
		h.processes = slices.DeleteFunc(h.processes, func(q *process) bool { return p == q })
		i := slices.Index(h.table.crossings, c.spell.port)
		h.table.crossings = slices.Delete(h.table.crossings, i, i+1)
	}
	c.processes = nil
}

// takeDatagrams is the receiver of datagrams.
func (c *crossing) takeDatagrams(ctx context.Context, h *Host) error {
	spell := c.asked()
	u, err := spell.socket(ctx, h)
	if err != nil {
		return err
	}
	defer u.Close()
	for {
		if _, _, err := u.ReadFromUDPAddrPort(nil); err != nil {
			return nil
		}
	}
}

// socket opens the socket for datagrams of a host, which is closed when ctx ends.
func (s crossingSpell) socket(ctx context.Context, h *Host) (*UDPConn, error) {
	u, err := h.ListenPacket("udp4", fmt.Sprintf(":%d", s.port))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { u.Close() })
	return u.(*UDPConn), nil
}

// sendDatagrams is the sender of datagrams. After a restart it continues where it would be without one.
func (c *crossing) sendDatagrams(ctx context.Context, h *Host) error {
	spell := c.asked()
	u, err := spell.socket(ctx, h)
	if err != nil {
		return err
	}
	defer u.Close()
	u.n.do(func() { u.crossing = c.fault })
	data := make([]byte, c.Size-ipHeader-udpHeader)
	times := c.times(spell.draws)
	for {
		at := spell.since + times()
		now := h.n.Elapsed()
		if at < now {
			continue
		}
		if !pauseFor(ctx, at-now) {
			return nil
		}
		// The sender does not care whether anything is in the way.
		_, err := u.WriteTo(data, &net.UDPAddr{IP: c.to.Addr().AsSlice(), Port: int(spell.port)})
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
	}
}

// pauseFor waits, and reports whether ctx has not ended.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// times returns a function that returns the instants of the datagrams, one after the other, from the
// beginning.
func (t Traffic) times(draws netem.Stream) func() time.Duration {
	packet := uint64(t.Size) * 8 * 1e9 // bits, in units of a billionth
	rate := uint64(t.Rate)
	var on, rest uint64 // how long it has been sent, in ns and in parts of one over the rate
	first := true
	return func() time.Duration {
		switch {
		case t.Poisson:
			hi, lo := bits.Mul64(packet/rate, exponential(draws.Uint64()))
			on += hi<<32 | lo>>32
		case !first:
			sum := rest + packet%rate
			on += packet/rate + sum/rate
			rest = sum % rate
		}
		first = false
		if t.On == 0 {
			return time.Duration(on)
		}
		return time.Duration(on)/t.On*(t.On+t.Off) + time.Duration(on)%t.On
	}
}

// exponential maps a random number to the exponential distribution with mean 1, in units of 2^-32: the
// negative natural logarithm of (u+1)/2^64. It computes it bit by bit, since every platform must get the same
// result.
func exponential(u uint64) uint64 {
	const ln2 = 2977044472 // log(2) * 2^32
	if u++; u == 0 {
		return 0
	}
	zeros := bits.LeadingZeros64(u)
	m := u << zeros // from 1 to 2, in units of 2^-63
	log2 := uint64(63-zeros) << 32
	for bit := uint64(1) << 31; bit > 0; bit >>= 1 {
		hi, lo := bits.Mul64(m, m) // in units of 2^-126
		if hi>>63 != 0 {
			m, log2 = hi, log2|bit
		} else {
			m = hi<<1 | lo>>63
		}
	}
	hi, lo := bits.Mul64(64<<32-log2, ln2)
	return hi<<32 | lo>>32
}

// takeStreams is the receiver of connections.
func (c *crossing) takeStreams(ctx context.Context, h *Host) error {
	l, err := h.Listen("tcp4", fmt.Sprintf(":%d", c.asked().port))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer resetWith(ctx, conn)()
			p := make([]byte, 1<<16)
			for err := error(nil); err == nil; {
				_, err = conn.Read(p)
			}
		}()
	}
}

// sendStream is the sender of one connection.
func (c *crossing) sendStream(ctx context.Context, h *Host) error {
	for {
		c.sendUntilItFails(ctx, h)
		if !pauseFor(ctx, time.Second) {
			return nil
		}
	}
}

func (c *crossing) sendUntilItFails(ctx context.Context, h *Host) {
	conn, err := h.DialContext(ctx, "tcp4", fmt.Sprintf("%v:%d", c.to.Addr(), c.asked().port))
	if err != nil {
		return
	}
	defer resetWith(ctx, conn)()
	h.n.do(func() { conn.(*TCPConn).options().crossing = c.fault })
	for p := make([]byte, 1<<16); err == nil; {
		_, err = conn.Write(p)
	}
}

// resetWith resets a connection when ctx ends; the function that it returns does so at once.
func resetWith(ctx context.Context, conn net.Conn) (now func()) {
	end := func() {
		conn.(*TCPConn).SetLinger(0)
		conn.Close()
	}
	stop := context.AfterFunc(ctx, end)
	return func() {
		stop()
		end()
	}
}
