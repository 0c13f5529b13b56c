package sim

import "github.com/squall-sim/squall/sim/internal/tcp"

// A machine is the state machine of a connection. A network can have a million connections, almost all of
// them waiting. Those that have been idle for a while are parked, in a third of the memory, until something
// needs them.
type machine struct {
	awake  *tcp.Conn
	parked *tcp.Parked // if awake is nil
	idle   bool        // it has done nothing but keep-alive for a while
	lately bool        // it is one of the network's idlers
}

// tcp returns the state machine. It may be parked when the next event arrives, so do not keep it until then.
func (c *TCPConn) tcp() *tcp.Conn {
	if c.machine.awake == nil {
		c.unpark()
	}
	return c.machine.awake
}

// rest records that c has nothing to do but keep-alive for now.
func (c *TCPConn) rest() {
	c.machine.idle = true
	c.n.idlers.add(c)
}

// unpark is for tcp alone.
func (c *TCPConn) unpark() {
	from, l := c.machine.parked, &c.n.idlers
	c.machine.awake, c.machine.parked = taken(&l.awake), nil
	from.Unpark(c.machine.awake, c.output())
	l.parked = append(l.parked, from)
	l.add(c)
}

// idlers are connections that are awake and may soon be parked.
type idlers struct {
	most   int        // idle connections that may stay awake
	lately []*TCPConn // oldest first
	first  int        // from here on

	// Memory for reuse, at most mostReused of each.
	awake  []*tcp.Conn
	parked []*tcp.Parked
}

// mostIdlers is how many idle ends of connections stay awake: 10 MB of them. In a usual test all of them do.
// A round trip on one that must be woken takes an eighth longer (see speed).
const mostIdlers = 1 << 14

const mostReused = 1 << 10

func (l *idlers) add(c *TCPConn) {
	if !c.machine.lately {
		c.machine.lately = true
		l.lately = append(l.lately, c)
	}
}

// settle parks the excess connections. Nobody has a state machine of theirs when it is called.
func (l *idlers) settle() {
	for ; len(l.lately)-l.first > l.most; l.first++ {
		c := l.lately[l.first]
		l.lately[l.first] = nil
		c.machine.lately = false
		if c.machine.idle && !c.gone && c.machine.awake != nil {
			l.park(c)
		}
	}
	if l.first > l.most {
		l.lately = append(l.lately[:0], l.lately[l.first:]...)
		l.first = 0
	}
}

// park parks a connection, if nothing is in progress there.
func (l *idlers) park(c *TCPConn) {
	into, awake := taken(&l.parked), c.machine.awake
	if !awake.Park(into) {
		l.parked = append(l.parked, into)
		return
	}
	c.machine.awake, c.machine.parked = nil, into
	if len(l.awake) < mostReused {
		*awake = tcp.Conn{}
		l.awake = append(l.awake, awake)
	}
}

// keepsAlive is KeepsAlive of the state machine, which stays parked.
func (c *TCPConn) keepsAlive() (fails, every tcp.Time, ok bool) {
	if p := c.machine.parked; p != nil {
		return p.KeepsAlive()
	}
	return c.machine.awake.KeepsAlive()
}

// answers reports whether two connections are the two ends of one.
func (c *TCPConn) answers(p *TCPConn) bool { return c.numbers().Answer(p.numbers()) }

func (c *TCPConn) numbers() tcp.Numbers {
	if p := c.machine.parked; p != nil {
		return p.Numbers()
	}
	return c.machine.awake.Numbers()
}
