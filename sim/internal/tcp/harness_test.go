package tcp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A path joins two endpoints in virtual time, as the bridge of testdata/README.md
// does: per direction named drops, blackouts by arrival time, random loss, a FIFO
// rate limiter whose queue limit counts the packet in service, then a fixed delay.
type path struct {
	now    Time
	events eventHeap
	seq    uint64
	ends   [2]*end // client, server
	log    []string
	trace  bool
	t      testing.TB

	// wake is how long a program takes to react to an event.
	wake Time

	freeSegs []*Segment
}

type direction struct {
	delay     Time
	rate      int64 // bit/s, 0: no limit
	limitPkts int   // 0: none
	limitByte int
	drop      func(n int, s *Segment) bool // n counts the packets of this direction
	lossP     uint32                       // of 1<<32
	rng       *rand.PCG
	jitter    Time             // random, on top of delay: packets overtake each other
	dupP      uint32           // a copy arrives too
	watch     func(s *Segment) // of every segment sent

	count     int
	busyUntil Time
	queue     []queued
	dropped   int
	sent      int
}

type queued struct {
	leaves Time
	size   int
}

type end struct {
	p       *path
	i       int
	conn    *Conn
	cfg     *Config
	mtu     int
	dir     direction // outgoing
	listen  bool
	onEvt   func(*end, Events)
	onInput func(*Segment)
	evts    Events
	woken   Events
	timer   Time
	retired []retiredBlock
}

type retiredBlock struct {
	mem []byte
	end uint64
}

// A pathEvent is a call of the program (class 0), the arrival of a packet (1) or a
// timer (2), in that order at one instant.
type pathEvent struct {
	at    Time
	class int
	seq   uint64
	end   *end
	seg   *Segment
	fn    func()
}

func (a *pathEvent) before(b *pathEvent) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.class != b.class {
		return a.class < b.class
	}
	return a.seq < b.seq
}

type eventHeap []pathEvent

func (h *eventHeap) push(e pathEvent) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
	*h = s
}

func (h *eventHeap) pop() pathEvent {
	s := *h
	top, last := s[0], s[len(s)-1]
	s[len(s)-1] = pathEvent{}
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1].before(&s[c]) {
			c++
		}
		if !s[c].before(&last) {
			break
		}
		s[i] = s[c]
		i = c
	}
	s[i] = last
	return top
}

func newPath(t testing.TB, cfg Config, rtt Time) *path {
	full, err := cfg.Complete()
	require.NoError(t, err)
	p := &path{t: t}
	for i := range p.ends {
		p.ends[i] = &end{p: p, i: i, cfg: full, mtu: 1500, timer: Never}
		p.ends[i].dir.delay = rtt / 2
	}
	p.ends[1].listen = true
	return p
}

func (p *path) client() *end { return p.ends[0] }
func (p *path) server() *end { return p.ends[1] }

func (p *path) at(at Time, class int, fn func()) { p.push(pathEvent{at: at, class: class, fn: fn}) }

func (p *path) push(e pathEvent) {
	p.seq++
	e.seq = p.seq
	p.events.push(e)
}

// after runs fn as the program does, ahead of packets and timers of that instant.
func (p *path) after(d Time, fn func()) { p.at(p.now+d, 0, fn) }

// NewBlock takes the blocks whose contents nobody may look at any more, and fills them
// with what nobody would send.
func (e *end) NewBlock(n int) []byte {
	if peer := e.p.ends[1-e.i].conn; peer != nil {
		for len(e.retired) > 0 && e.retired[0].end <= peer.Copied() {
			b := e.retired[0].mem
			e.retired = e.retired[1:]
			for i := range b {
				b[i] = 0xdd
			}
			if len(b) >= n {
				return b
			}
		}
	}
	return make([]byte, n)
}

func (e *end) RetireBlock(b []byte, end uint64) {
	e.retired = append(e.retired, retiredBlock{b[:cap(b)], end})
}

func (e *end) NewSegment() *Segment {
	p := e.p
	if n := len(p.freeSegs); n > 0 {
		s := p.freeSegs[n-1]
		p.freeSegs = p.freeSegs[:n-1]
		*s = Segment{}
		return s
	}
	return new(Segment)
}

func (d *direction) latency() Time {
	if d.jitter == 0 {
		return d.delay
	}
	return d.delay + Time(d.rng.Uint64()%uint64(d.jitter))
}

func (e *end) SendRun(c *Conn, s *Segment) { SendApart(e, c, s) }

func (e *end) Send(_ *Conn, s *Segment) {
	p, d := e.p, &e.dir
	if d.watch != nil {
		d.watch(s)
	}
	d.count++
	lost := d.drop != nil && d.drop(d.count, s)
	if d.lossP > 0 {
		lost = uint32(d.rng.Uint64()>>32) < d.lossP || lost
	}
	leaves := p.now
	if !lost && d.rate > 0 {
		for len(d.queue) > 0 && d.queue[0].leaves <= p.now {
			d.queue = d.queue[1:]
		}
		bytes := s.Size()
		if d.limitByte > 0 {
			for _, q := range d.queue {
				bytes += q.size
			}
		}
		if d.limitPkts > 0 && len(d.queue) >= d.limitPkts || d.limitByte > 0 && bytes > d.limitByte {
			lost = true
		} else {
			leaves = max(p.now, d.busyUntil) + Time(int64(s.Size())*8*int64(time.Second)/d.rate)
			d.busyUntil = leaves
			d.queue = append(d.queue, queued{leaves, s.Size()})
		}
	}
	if p.trace {
		mark := ""
		if lost {
			mark = " LOST"
		}
		p.log = append(p.log, fmt.Sprintf("%10.3f %s %s%s", float64(p.now)/1e6, [2]string{">", "<"}[e.i], describe(s), mark))
	}
	d.sent++
	if lost {
		d.dropped++
		p.freeSegs = append(p.freeSegs, s)
		return
	}
	p.push(pathEvent{at: leaves + d.latency(), class: 1, end: p.ends[1-e.i], seg: s})
	if d.dupP > 0 && uint32(d.rng.Uint64()>>32) < d.dupP {
		twin := e.NewSegment()
		*twin = *s
		p.push(pathEvent{at: leaves + d.latency(), class: 1, end: p.ends[1-e.i], seg: twin})
	}
}

func describe(s *Segment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %d:%d(%d)", s.Flags, s.Seq, s.Seq+uint64(len(s.Payload)), len(s.Payload))
	if s.Flags&ACK != 0 {
		fmt.Fprintf(&b, " ack %d", s.Ack)
	}
	fmt.Fprintf(&b, " win %d", s.Window)
	for _, k := range s.SACK[:s.SACKLen] {
		fmt.Fprintf(&b, " sack %d:%d", k.Start, k.End)
	}
	if s.Kind != Original {
		fmt.Fprintf(&b, " (%v)", s.Kind)
	}
	return b.String()
}

func (p *path) arrive(e *end, s *Segment) {
	if e.onInput != nil {
		e.onInput(s)
	}
	syn := e.listen && s.Flags&(SYN|ACK|RST) == SYN
	switch {
	case e.conn != nil && !(syn && e.conn.State() == StateClosed):
		c := e.conn
		onlyAck := s.Flags&^PSH == ACK && len(s.Payload) == 0 && c.state == Established
		calm := onlyAck && c.flag&blocked != 0 && !c.MayUnblock(s.Ack)
		take(p.t, c, p.now, s, false)
		if calm && c.events&Writable != 0 {
			panic(fmt.Sprintf("tcp: MayUnblock was wrong about acknowledgement %d", s.Ack))
		}
	case syn:
		e.conn = Accept(e.cfg, e, e.mtu, 0, p.now, s)
	default:
		out := e.NewSegment()
		if ResetFor(s, out) {
			e.Send(nil, out)
		}
	}
	p.freeSegs = append(p.freeSegs, s)
	e.settle()
}

// settle delivers events and sets the timer.
func (e *end) settle() {
	if e.conn == nil {
		return
	}
	for {
		ev := e.conn.Events()
		if ev == 0 {
			break
		}
		e.evts |= ev
		if e.onEvt == nil {
			continue
		}
		if e.p.wake == 0 {
			e.onEvt(e, ev)
		} else if e.woken |= ev; e.woken == ev {
			e.p.after(e.p.wake, func() {
				ev := e.woken
				e.woken = 0
				e.onEvt(e, ev)
				e.settle()
			})
		}
	}
	// A timer that has moved to later is looked at again when it is due.
	if next := e.conn.NextTimer(); next < e.timer {
		e.timer = next
		e.p.push(pathEvent{at: max(next, e.p.now), class: 2, end: e})
	}
}

func (e *end) timeout() {
	if e.timer > e.p.now {
		return // an earlier one took its place
	}
	e.timer = Never
	if e.conn.NextTimer() <= e.p.now {
		e.conn.Timeout(e.p.now)
	}
	e.settle()
}

func (e *end) dial() {
	e.conn = Dial(e.cfg, e, e.mtu, 0, e.p.now)
	e.settle()
}

func (e *end) write(b []byte) int {
	n := e.conn.Write(e.p.now, b)
	e.settle()
	return n
}

// run goes on until nothing happens any more, or until.
func (p *path) run(until Time) {
	for len(p.events) > 0 && p.events[0].at <= until {
		ev := p.events.pop()
		p.now = ev.at
		switch {
		case ev.fn != nil:
			ev.fn()
		case ev.seg != nil:
			p.arrive(ev.end, ev.seg)
		default:
			ev.end.timeout()
		}
	}
	if until != Never {
		p.now = max(p.now, until)
	}
}

// zeros is what programs write, and scratch what they read into.
var zeros, scratch [1 << 20]byte

// readAll reads what is there.
func (e *end) readAll() (n int) {
	for {
		k := e.conn.Read(e.p.now, scratch[:])
		if k == 0 {
			return n
		}
		n += k
	}
}

// sendAll writes n bytes as fast as the buffer takes them.
func (e *end) sendAll(n int) {
	step := func() {
		for n > 0 {
			k := e.conn.Write(e.p.now, zeros[:min(n, len(zeros))])
			if k == 0 {
				return
			}
			n -= k
		}
	}
	old := e.onEvt
	e.onEvt = func(e *end, ev Events) {
		if old != nil {
			old(e, ev)
		}
		if ev&Writable != 0 {
			step()
		}
	}
	step()
}

// download is the workload of the kernel's measurements: the client connects,
// sends a request at once, the server answers with size bytes. It returns when
// the client was connected, and when it had read them all.
func (p *path) download(size int) (connected, done Time) {
	cl, sv := p.client(), p.server()
	done = -1
	got := 0
	cl.onEvt = func(e *end, ev Events) {
		if ev&Connected != 0 {
			connected = p.now
			e.conn.Write(p.now, zeros[:7])
		}
		if ev&Readable != 0 {
			if got += e.readAll(); got == size {
				done = p.now
			}
		}
	}
	asked := false
	sv.onEvt = func(e *end, ev Events) {
		if ev&Readable != 0 && !asked && e.readAll() > 0 {
			asked = true
			e.sendAll(size)
		}
	}
	cl.dial()
	for done < 0 && len(p.events) > 0 && p.now < time.Hour {
		p.run(p.events[0].at)
	}
	return connected, done
}

// exchanges runs n exchanges: the client writes the pieces one after the other,
// the server answers with one byte when all have come, after thinking. It returns
// how long each took.
func (p *path) exchanges(n int, think Time, pieces ...int) (took []Time) {
	cl, sv := p.client(), p.server()
	total := 0
	for _, k := range pieces {
		total += k
	}
	var start Time
	ask := func() {
		start = p.now
		for _, k := range pieces {
			cl.conn.Write(p.now, zeros[:k])
		}
	}
	got := 0
	sv.onEvt = func(e *end, ev Events) {
		if ev&Readable == 0 {
			return
		}
		if got += e.readAll(); got < total {
			return
		}
		got = 0
		p.after(think, func() { e.write(zeros[:1]) })
	}
	cl.onEvt = func(e *end, ev Events) {
		if ev&Readable != 0 && e.readAll() > 0 {
			if took = append(took, p.now-start); len(took) < n {
				ask()
			}
		} else if ev&Connected != 0 {
			ask()
		}
	}
	if cl.conn == nil {
		cl.dial()
	} else {
		ask()
		cl.settle()
	}
	for len(took) < n && len(p.events) > 0 && p.now < 2*time.Hour {
		p.run(p.events[0].at)
	}
	return took
}
