package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Programs drawn at random: hosts, links, TCP settings, connections on which both ends
// write and read, and faults that all end. Whatever is drawn, each connection must carry
// exactly its bytes or have a reason not to; the network must fall silent in the end, its
// counters must add up, and an engine that leaves nothing for later must do the same.
//
// SQUALL_PROGRAMS is how many to draw, or which (1000-1249), and SQUALL_PROGRAM the only one.

// Programs in which nothing happens that could end a connection.
func TestRandomProgramsCarryEveryByte(t *testing.T) {
	tryPrograms(t, 0, 40, false)
}

// Programs whose hosts also crash, lose power and start again.
func TestRandomProgramsSurviveCrashes(t *testing.T) {
	tryPrograms(t, 100, 30, true)
}

func tryPrograms(t *testing.T, from, count int, crashes bool) {
	eachProgram(t, from, count, func(seed uint64) error { return tryProgram(t, seed, crashes) })
}

// eachProgram tries some programs, or those that the environment names.
func eachProgram(t *testing.T, from, count int, try func(seed uint64) error) {
	if s := os.Getenv("SQUALL_PROGRAMS"); s != "" {
		first, last, isRange := strings.Cut(s, "-")
		a, err := strconv.Atoi(first)
		require.NoError(t, err)
		count = a
		if isRange {
			b, err := strconv.Atoi(last)
			require.NoError(t, err)
			from, count = a, b-a+1
		}
	}
	if s := os.Getenv("SQUALL_PROGRAM"); s != "" {
		only, err := strconv.Atoi(s)
		require.NoError(t, err)
		from, count = only, 1
	}
	for seed := from; seed < from+count; seed++ {
		if err := try(uint64(seed)); err != nil {
			// The network's seed is the number, but it takes more than that to repeat it.
			t.Errorf("program %d: %s", seed, strings.ReplaceAll(err.Error(), "SQUALL_SEED=", "SQUALL_PROGRAM="))
		}
	}
}

// tryProgram runs a program on engines of all kinds.
func tryProgram(t *testing.T, seed uint64, crashes bool) error {
	want, err := runProgram(t, seed, crashes, true)
	if err != nil {
		return err
	}
	got, err := runProgram(t, seed, crashes, false)
	if err == nil {
		err = sameRun("an engine that leaves nothing for later", want, got)
	}
	if err != nil || seed%4 != 0 {
		return err
	}
	if got, err = runProgram(t, seed, crashes, false, sim.ManyTimers()); err == nil {
		err = sameRun("with ManyTimers", want, got)
	}
	return err
}

// sameRun compares two accounts of a run, line by line.
func sameRun(what, want, got string) error {
	if want == got {
		return nil
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	part := func(s []string) string { return strings.Join(s[max(0, min(i-6, len(s))):min(i+4, len(s))], "\n") }
	return fmt.Errorf("%s does something else, in line %d:\n%s\n\ninstead of\n%s", what, i, part(b), part(a))
}

// runProgram returns an account of all that happened.
func runProgram(t *testing.T, seed uint64, crashes, eager bool, opts ...sim.Option) (account string, err error) {
	p := &program{seed: seed, r: rand.New(rand.NewPCG(seed, 7)), crashes: crashes}
	err = sim.Try(t, func(n *sim.Network) error {
		if eager {
			n.Eager()
		}
		p.n = n
		err := p.run()
		account = p.account()
		return err
	}, append(opts, sim.Seed(seed), sim.WithTCP(p.tcp()))...)
	return account, err
}

type program struct {
	seed    uint64
	n       *sim.Network
	r       *rand.Rand
	crashes bool
	rate    bool // some link has a rate
	mtu     int

	hosts   []*sim.Host
	links   []*sim.Link
	configs [][2]netem.Config // of the links
	streams []*stream
	mu      sync.Mutex
	logs    []*journal
}

// A stream is a connection that a client opens to a server, again if it is lost.
type stream struct {
	p              *program
	number         int
	client, server *sim.Host
	ends           [2]end // of the client and of the server
	exact          bool   // the ends close when they have all bytes, not when they read EOF
	done           bool   // once the client has got all
	open           int    // ends that have not come to their end
	errors         []error
}

// An end is what one end of a stream does; a connection that is opened again does it again.
type end struct {
	seed                      uint64
	size                      int // bytes to write
	pieces                    int // at most as large
	pause, late, slow         time.Duration
	reads                     int // bytes at most
	sendBuffer, receiveBuffer int // 0: as it is
	deadlines                 bool
	nagle                     bool
	halfClose                 bool // even before all was read
	linger                    int
}

// A journal is what one goroutine noticed.
type journal struct {
	name  string
	lines []string
}

func (p *program) journal(format string, args ...any) *journal {
	j := &journal{name: fmt.Sprintf(format, args...)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logs = append(p.logs, j)
	return j
}

func (p *program) log(j *journal, format string, args ...any) {
	line := fmt.Sprintf("%v %s: ", p.n.Elapsed(), j.name) + fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (p *program) account() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	slices.SortStableFunc(p.logs, func(a, b *journal) int { return cmp.Compare(a.name, b.name) })
	for _, j := range p.logs {
		for _, l := range j.lines {
			b.WriteString(l + "\n")
		}
	}
	b.WriteString(p.n.Trace().String())
	return b.String()
}

func (p *program) one(in int) bool { return p.r.IntN(in) == 0 }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// steps is up to count times 5 ms, so that much happens at one instant.
func steps(r *rand.Rand, count int) time.Duration { return time.Duration(r.IntN(count+1)) * 5 * ms }

// tcp draws settings with which no fault of these programs ends a connection.
func (p *program) tcp() sim.TCPConfig {
	var c sim.TCPConfig
	r := p.r
	rarely := func(f func()) {
		if p.one(6) {
			f()
		}
	}
	rarely(func() { c.CongestionControl = "reno" })
	rarely(func() { c.InitialCwnd = 1 + r.IntN(40) })
	rarely(func() { c.RTOInitial = pick(r, 100*ms, 300*ms, 3*time.Second) })
	rarely(func() { c.RTOMin = pick(r, 50*ms, 100*ms, time.Second) })
	rarely(func() { c.RTOMax = pick(r, 60*time.Second, 300*time.Second) })
	rarely(func() { c.SynRetries = 6 + r.IntN(4) })
	rarely(func() { c.SynLinearTimeouts = pick(r, -1, 2, 8) })
	rarely(func() { c.SynAckRetries = 5 + r.IntN(4) })
	rarely(func() { c.Retries2 = 15 + r.IntN(5) })
	c.OrphanRetries = 30 + r.IntN(90)
	if p.crashes {
		c.OrphanRetries = 7 + r.IntN(13)
	}
	rarely(func() { c.UserTimeout = pick(r, time.Hour, 3*time.Hour) })
	rarely(func() { c.FinTimeout = time.Duration(20+r.IntN(100)) * time.Second })
	rarely(func() { c.TimeWait = pick(r, ms, time.Second, 120*time.Second) })
	rarely(func() {
		c.KeepAlive = sim.TCPKeepAlive{Off: !p.crashes && p.one(3), Idle: pick(r, time.Second, 5*time.Second), Interval: pick(r, time.Second, 2*time.Second), Count: 9 + r.IntN(9)}
	})
	rarely(func() { c.DelayedAckMin = pick(r, ms, 10*ms, 100*ms) })
	rarely(func() { c.DelayedAckMax = pick(r, 100*ms, 500*ms) })
	rarely(func() { c.SendBuffer.Default = pick(r, 4608, 10_000, 100_000) })
	rarely(func() { c.SendBuffer.Max = pick(r, 100_000, 300_000) })
	rarely(func() { c.ReceiveBuffer.Default = pick(r, 2304, 5000, 20_000) })
	rarely(func() { c.ReceiveBuffer.Max = pick(r, 131_072, 300_000) })
	rarely(func() { c.SendBuffer.Min, c.ReceiveBuffer.Min = pick(r, 2000, 8192), pick(r, 1, 2000) })
	rarely(func() { c.AcceptBacklog = pick(r, -1, 1, 10) })
	rarely(func() { c.AbortOnOverflow = p.crashes })
	rarely(func() { c.NoSACK = true })
	rarely(func() { c.NoDSACK = true })
	rarely(func() { c.NoTimestamps = true })
	rarely(func() { c.NoWindowScaling = true })
	rarely(func() { c.NoTailLossProbe = true })
	rarely(func() { c.NoFRTO = true })
	rarely(func() { c.NoSlowStartAfterIdle = true })
	rarely(func() { c.NoHyStart = true })
	rarely(func() { c.NoBufferTuning = true })
	rarely(func() { c.Reordering = 1 + r.IntN(30) })
	// Without both, a retransmission that is lost is noticed by the timer alone, no
	// acknowledgement is a valid measurement that ends its backoff, and 924 s after the first
	// retransmission Linux gives the connection up, though bytes arrive all the time
	// (retransmits_timed_out, tcp_ack_update_rtt).
	if p.seed%2 == 0 {
		c.NoSACK = false
	} else {
		c.NoTimestamps = false
	}
	return c
}

// link draws one direction of a link.
func (p *program) link() netem.Config {
	r := p.r
	c := netem.Config{Delay: steps(r, 12), MTU: p.mtu}
	if p.one(8) {
		c.Delay = time.Duration(r.IntN(400)) * ms
	}
	if c.Delay > 0 && p.one(4) {
		c.Jitter = min(c.Delay, time.Duration(1+r.IntN(20))*ms)
		c.KeepOrder = p.one(2)
		if p.one(3) {
			c.Distribution = pick(r, netem.Normal, netem.Pareto, netem.ParetoNormal)
		}
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		c.Loss = netem.Bernoulli(0.01 * float64(1+r.IntN(6)))
	case 3:
		c.Loss = netem.GilbertElliott{P: 0.02, R: 0.4, LossBad: 0.6}
	case 4:
		c.Loss = netem.EveryNth(10 + r.IntN(50))
	case 5:
		var list netem.DropList
		for range r.IntN(6) {
			list = append(list, 1+r.IntN(60))
		}
		slices.Sort(list)
		c.Loss = slices.Compact(list)
	}
	if p.mtu == 68 && c.Loss != nil { // a segment is two packets
		c.Loss = netem.Bernoulli(0.01)
	}
	if p.one(6) {
		c.Duplicate = 0.03
	}
	if p.one(6) && c.Delay > 0 && !c.KeepOrder {
		c.Reorder = 0.05
	}
	if p.one(6) {
		c.Corrupt = 0.02
	}
	if p.one(3) {
		c.Rate = pick(r, 500*netem.Kbit, 2*netem.Mbit, 10*netem.Mbit)
		if p.one(2) {
			c.Queue = netem.DropTail{Packets: 2 + r.IntN(20)}
		} else {
			c.Queue = netem.DropTail{Bytes: max(p.mtu, 1500) * (1 + r.IntN(20))}
		}
	}
	return c
}

// build draws hosts and what joins them.
func (p *program) build() {
	n, r := p.n, p.r
	p.mtu = pick(r, 0, 0, 0, 68, 100, 128, 200, 576, 1400, 4000, 9000, 65535)
	for i := range 2 + r.IntN(2) {
		p.hosts = append(p.hosts, n.Host(fmt.Sprintf("host%d", i)))
		if p.one(4) {
			p.hosts[i].SetTCP(p.tcp())
		}
	}
	join := func(a, b sim.Node) {
		there, back := p.link(), p.link()
		p.configs = append(p.configs, [2]netem.Config{there, back})
		p.links = append(p.links, n.LinkAsym(a, b, there, back))
	}
	switch r.IntN(3) {
	case 0: // each with each
		for i, a := range p.hosts {
			for _, b := range p.hosts[:i] {
				join(a, b)
			}
		}
	case 1: // a star
		for _, h := range p.hosts {
			join(h, n.Router("r0"))
		}
	case 2: // a chain of routers
		join(n.Router("r0"), n.Router("r1"))
		for i, h := range p.hosts {
			join(h, n.Router(fmt.Sprintf("r%d", i%2)))
		}
	}
	if p.one(4) {
		p.hosts[0].Access(p.link(), p.link())
	}
}

// streams draws who talks to whom, and how.
func (p *program) plan() {
	r := p.r
	for i := range 1 + r.IntN(3) {
		client := r.IntN(len(p.hosts))
		server := (client + 1 + r.IntN(len(p.hosts)-1)) % len(p.hosts)
		s := &stream{p: p, number: i, client: p.hosts[client], server: p.hosts[server], exact: p.one(3)}
		for k := range s.ends {
			e := &s.ends[k]
			*e = end{seed: r.Uint64(), reads: pick(r, 10, 700, 5000, 60_000), nagle: p.one(6), halfClose: p.one(2)}
			switch r.IntN(4) {
			case 0: // little by little
				e.size, e.pieces, e.pause = r.IntN(3000), 1+r.IntN(300), steps(r, 40)
			case 1:
				e.size, e.pieces, e.pause = r.IntN(100_000), 1000+r.IntN(20_000), steps(r, 20)
			case 2: // all at once
				e.size, e.pieces = r.IntN(200_000), 1+r.IntN(200_000)
				if e.pieces < 100 {
					e.pieces = 100
				}
			case 3:
				e.size, e.pieces = r.IntN(60_000), 10+r.IntN(1000)
			}
			if p.mtu > 0 && p.mtu < 128 {
				e.size /= 10
			}
			if p.one(3) {
				e.late = time.Duration(r.IntN(3000)) * ms
			}
			if p.one(4) {
				e.slow = steps(r, 8)
				e.reads = max(e.reads, 700)
			}
			if p.one(4) {
				e.sendBuffer = 2000 + r.IntN(20_000)
			}
			if p.one(4) {
				e.receiveBuffer = 1200 + r.IntN(20_000)
			}
			e.deadlines = p.one(3)
			if p.one(6) {
				e.linger = 1 + r.IntN(20)
			}
		}
		p.streams = append(p.streams, s)
	}
}

// faultsEnd is when everything is as it was.
const faultsEnd = 6 * time.Second

// faults draws what breaks. It happens at instants of its own: the program would race with
// it.
func (p *program) faults() {
	n, r := p.n, p.r
	at := func() time.Duration {
		return time.Duration(r.IntN(int(faultsEnd/ms)/10))*10*ms + 2*ms + time.Duration(r.IntN(1000))*time.Microsecond
	}
	type later struct {
		begin time.Duration
		draw  func()
	}
	var ends []later // drawn behind everything else, in the order of their instants
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		slices.SortStableFunc(ends, func(a, b later) int { return cmp.Compare(a.begin, b.begin) })
		for _, e := range ends {
			e.draw()
		}
	}()
	for range r.IntN(8) {
		host := p.hosts[r.IntN(len(p.hosts))]
		which := r.IntN(len(p.links))
		link := p.links[which]
		begin, stop := at(), time.Duration(0)
		stop = begin + time.Duration(1+r.IntN(2000))*ms
		between := func(f, g func()) {
			n.After(begin, f)
			n.After(min(stop, faultsEnd), g)
		}
		split := 1 + r.IntN(len(p.hosts)-1)
		kinds := 11
		if p.crashes {
			kinds = 14
		}
		switch r.IntN(kinds) {
		case 0:
			between(link.Down, link.Up)
		case 1:
			var end sim.Node
			between(func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				link.DownFrom(end)
			}, link.Up)
			ends = append(ends, later{begin, func() { end = p.end(link, r.IntN(2)) }})
		case 2:
			between(link.Hold, link.Release)
		case 3:
			between(link.Down, link.Up)
		case 4:
			between(host.Pause, host.Resume)
		case 5:
			between(func() { n.Partition(p.hosts[:split], p.hosts[split:]) }, n.Heal)
		case 6:
			between(func() { n.PartitionOneWay(p.hosts[:split], p.hosts[split:]) }, n.Heal)
		case 7, 8:
			a, b := p.link(), p.link()
			n.After(begin, func() { link.SetAsym(a, b) })
		case 9: // slow, and then fast again with a full queue
			slow, back := p.configs[which], p.configs[which]
			for i := range slow {
				slow[i].Rate = pick(r, netem.Kbit, 20*netem.Kbit)
			}
			between(func() { link.SetAsym(slow[0], slow[1]) }, func() { link.SetAsym(back[0], back[1]) })
		case 10:
			n.After(begin, func() { host.Access(p.configs[0][0], p.configs[0][1]) })
		case 11:
			between(host.Crash, host.Restart)
		case 12:
			between(host.PowerOff, host.Restart)
		case 13:
			n.After(begin, host.Restart)
		}
	}
	n.After(faultsEnd+ms, func() {
		for _, l := range p.links {
			l.Up()
			l.Release()
		}
		n.Heal()
		for _, h := range p.hosts {
			h.Resume()
		}
	})
}

// end is one of the two ends of a link.
func (p *program) end(l *sim.Link, which int) sim.Node {
	name := strings.Split(l.String(), " - ")[which]
	if strings.HasPrefix(name, "r") {
		return p.n.Router(name)
	}
	return p.n.Host(name)
}

func (p *program) run() error {
	p.build()
	p.plan()
	for _, s := range p.streams {
		s.start()
	}
	p.datagrams()
	p.faults()
	// Everything must come to its end. A crash may leave the other end to its keep-alive.
	for p.n.Elapsed() < 4*time.Hour && !p.over() {
		time.Sleep(10 * time.Second)
	}
	if err := p.n.Recount(); err != nil {
		return err
	}
	if err := p.verdict(); err != nil {
		return err
	}
	time.Sleep(10 * time.Minute) // of TIME_WAIT, and of connections that have nobody any more
	return p.silence()
}

func (p *program) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.streams {
		if !s.done || s.open > 0 {
			return false
		}
	}
	return true
}

func (p *program) verdict() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []error
	for _, s := range p.streams {
		all = append(all, s.errors...)
		if !s.done || s.open > 0 {
			all = append(all, fmt.Errorf("%v: done %v, %d ends still at it", s, s.done, s.open))
		}
	}
	if len(all) > 0 {
		for _, h := range p.hosts {
			all = append(all, errors.New(h.Netstat()))
		}
	}
	return errors.Join(all...)
}

// silence is what must hold when everybody has finished.
func (p *program) silence() error {
	var all []error
	before := p.n.Trace().Len()
	time.Sleep(10 * time.Minute)
	if after := p.n.Trace().Len(); after != before {
		all = append(all, fmt.Errorf("%d events long after the end", after-before))
	}
	for _, h := range p.n.Stats().Hosts {
		if h.Connections > 0 {
			all = append(all, fmt.Errorf("host %s keeps %d connections:\n%s", h.Name, h.Connections, p.n.Host(h.Name).Netstat()))
		}
	}
	all = append(all, p.n.Recount())
	for _, l := range p.n.Stats().Links {
		lost := l.Lost + l.QueueFull + l.TooLarge + l.Corrupted
		if l.Sent+l.Duplicated != l.Delivered+lost || l.Dropped < lost {
			all = append(all, fmt.Errorf("the counters do not add up: %+v", l))
		}
	}
	for e := range p.n.Trace().Events() {
		// The least segment of TCP does not fit 68 bytes, which is found out by trying.
		if e.Kind == sim.Dropped && e.Protocol == "tcp" && strings.HasPrefix(e.Note, "mtu") && p.mtu != 68 {
			all = append(all, fmt.Errorf("too large for the path: %v", e))
			break
		}
	}
	return errors.Join(all...)
}

func (s *stream) String() string { return fmt.Sprintf("stream %d", s.number) }

func (s *stream) port() string { return fmt.Sprintf(":%d", 7000+s.number) }

// start runs both sides as processes.
func (s *stream) start() {
	s.server.Run("server", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", s.port())
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, syscall.ENETDOWN) {
				return nil
			}
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go s.talk(c, 1)
		}
	})
	s.client.Run("client", func(ctx context.Context, h *sim.Host) error {
		j := s.p.journal("%v client", s)
		for ctx.Err() == nil && !s.isDone() {
			c, err := h.DialContext(ctx, "tcp", s.server.Name()+s.port())
			s.p.log(j, "dial: %v", err)
			if err == nil {
				err = s.talk(c, 0)
			}
			if err == nil {
				s.p.mu.Lock()
				s.done = true
				s.p.mu.Unlock()
			}
			time.Sleep(500 * ms)
		}
		return nil
	})
}

func (s *stream) isDone() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.done
}

// fail notes an error that has no explanation.
func (s *stream) fail(format string, args ...any) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.errors = append(s.errors, fmt.Errorf("%v at %v: %w", s, s.p.n.Elapsed(), fmt.Errorf(format, args...)))
}

// byteAt is what an end writes at an offset.
func (e *end) byteAt(i int) byte { return byte(e.seed>>(8*(uint(i)%8))) ^ byte(i>>3) ^ byte(i>>11) }

// talk does what an end does on a connection, and returns why it ended early.
func (s *stream) talk(c net.Conn, which int) error {
	p := s.p
	me, peer := &s.ends[which], &s.ends[1-which]
	p.mu.Lock()
	s.open++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		s.open--
		p.mu.Unlock()
	}()
	tcp := c.(*sim.TCPConn)
	tcp.SetNoDelay(!me.nagle)
	if me.sendBuffer > 0 {
		tcp.SetWriteBuffer(me.sendBuffer)
	}
	if me.receiveBuffer > 0 {
		tcp.SetReadBuffer(me.receiveBuffer)
	}
	if me.linger > 0 {
		tcp.SetLinger(me.linger)
	}
	var both sync.WaitGroup
	var readErr, writeErr error
	both.Go(func() { writeErr = s.write(tcp, which) })
	both.Go(func() { readErr = s.read(tcp, which, peer) })
	both.Wait()
	err := cmp.Or(readErr, writeErr)
	closeErr := c.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil && !p.crashes {
		s.fail("end %d: %w", which, err)
	}
	return err
}

func (s *stream) write(c *sim.TCPConn, which int) error {
	p, me := s.p, &s.ends[which]
	j := p.journal("%v %d %v writes", s, which, c.LocalAddr())
	r := rand.New(rand.NewPCG(me.seed, 1))
	buf := make([]byte, me.size)
	for i := range buf {
		buf[i] = me.byteAt(i)
	}
	for len(buf) > 0 {
		if me.deadlines {
			c.SetWriteDeadline(time.Now().Add(10*ms + steps(r, 60)))
		}
		piece := buf[:min(len(buf), 1+r.IntN(me.pieces))]
		k, err := c.Write(piece)
		p.log(j, "%d of %d, %v", k, len(piece), err)
		buf = buf[k:]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if me.pause > 0 {
			time.Sleep(steps(r, int(me.pause/(5*ms))))
		}
	}
	c.SetWriteDeadline(time.Time{})
	if me.halfClose || !s.exact {
		err := c.CloseWrite()
		p.log(j, "CloseWrite: %v", err)
		return err
	}
	return nil
}

func (s *stream) read(c *sim.TCPConn, which int, peer *end) error {
	p, me := s.p, &s.ends[which]
	j := p.journal("%v %d %v reads", s, which, c.LocalAddr())
	r := rand.New(rand.NewPCG(me.seed, 2))
	time.Sleep(me.late)
	buf := make([]byte, me.reads)
	for got := 0; ; {
		if s.exact && got == peer.size {
			return nil
		}
		if me.deadlines {
			c.SetReadDeadline(time.Now().Add(10*ms + steps(r, 60)))
		}
		k, err := c.Read(buf)
		p.log(j, "%d, %v", k, err)
		for i, b := range buf[:k] {
			if got+i >= peer.size || b != peer.byteAt(got+i) {
				s.fail("end %d read a wrong byte at %d of %d", which, got+i, peer.size)
				return errors.New("wrong byte")
			}
		}
		got += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err == io.EOF && got == peer.size:
			return nil
		case err == io.EOF && p.crashes:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			s.fail("end %d read the end after %d of %d", which, got, peer.size)
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		if me.slow > 0 {
			time.Sleep(steps(r, int(me.slow/(5*ms))))
		}
	}
}

// datagrams has two hosts exchange some by UDP.
func (p *program) datagrams() {
	if !p.one(2) {
		return
	}
	r := rand.New(rand.NewPCG(p.r.Uint64(), 3))
	from, to := p.hosts[0], p.hosts[1]
	pc, err := to.ListenPacket("udp", ":9")
	check(err)
	c, err := from.Dial("udp", to.Name()+":9")
	check(err)
	to.Run("echo", func(ctx context.Context, h *sim.Host) error {
		j := p.journal("datagrams come")
		buf := make([]byte, 65535)
		for {
			k, addr, err := pc.ReadFrom(buf)
			p.log(j, "%d, %v", k, err)
			if err != nil {
				return nil
			}
			pc.WriteTo(buf[:k/2], addr)
		}
	})
	from.Run("ask", func(ctx context.Context, h *sim.Host) error {
		j := p.journal("datagrams go")
		for range 20 {
			_, err := c.Write(make([]byte, 1+r.IntN(pick(r, 100, 5000))))
			p.log(j, "%v", err)
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			time.Sleep(steps(r, 60))
		}
		return nil
	})
}
