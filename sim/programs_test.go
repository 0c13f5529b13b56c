package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// These tests generate programs at random: hosts, links, TCP settings, connections on which both ends read and write,
// and faults that all end. In every program each connection must carry exactly its bytes or have a reason not to. In
// the end the network must fall silent and its counters must add up. An engine without lookahead must do the same.
//
// SQUALL_PROGRAMS is the number of programs or their range (1000-1249), and SQUALL_PROGRAM is the only one to run.

// Programs without anything that could end a connection carry every byte.
func TestRandomProgramsCarryEveryByte(t *testing.T) {
	t.Parallel()
	tryPrograms(t, 0, fewerUnderRace(40), func(*program) {})
}

// Programs whose hosts also crash, lose power and start again keep the same promises.
func TestRandomProgramsSurviveCrashes(t *testing.T) {
	t.Parallel()
	tryPrograms(t, 100, fewerUnderRace(30), func(p *program) { p.crashes = true })
}

// fewerUnderRace returns a quarter of a number of programs, rows or bytes under the race detector. There each takes
// ten to twenty times as long, and it is enough to see every kind of thing that the engine does.
func fewerUnderRace(count int) int {
	if sim.RaceEnabled {
		return count / 4
	}
	return count
}

// leftOutUnderRace reports whether a row of a long table is left out under the race detector, which sees a quarter of
// the rows.
func leftOutUnderRace(row int) bool { return sim.RaceEnabled && row%4 != 0 }

func tryPrograms(t *testing.T, from, count int, kind func(p *program)) {
	eachProgram(t, from, count, func(seed uint64) error { return tryProgram(t, seed, kind) })
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
			// The number is the network's seed, but the seed alone does not repeat the program.
			t.Errorf("program %d: %s", seed, strings.ReplaceAll(err.Error(), "SQUALL_SEED=", "SQUALL_PROGRAM="))
		}
	}
}

// tryProgram runs a program on engines of all kinds.
func tryProgram(t *testing.T, seed uint64, kind func(p *program)) error {
	want, err := runProgram(t, seed, kind, true)
	if err != nil {
		return err
	}
	got, err := runProgram(t, seed, kind, false)
	if err == nil {
		err = sameRun("an engine that leaves nothing for later", want, got)
	}
	if err != nil || seed%4 != 0 {
		return err
	}
	if got, err = runProgram(t, seed, kind, false, sim.ManyTimers()); err == nil {
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

// runProgram runs a program and returns an account of everything that happened.
func runProgram(t *testing.T, seed uint64, kind func(p *program), eager bool, opts ...sim.Option) (account string, err error) {
	p := &program{seed: seed, r: rand.New(rand.NewPCG(seed, 7))}
	kind(p)
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
	boxed   bool
	mtu     int

	hosts   []*sim.Host
	links   []*sim.Link
	configs [][2]netem.Config // of the links
	streams []*stream
	boxes   []box
	mu      sync.Mutex
	logs    []*journal
}

// A stream is a connection that a client opens to a server, and opens again if it is lost.
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

// An end describes what one end of a stream does. After the connection is opened again, it does the same again.
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

// A journal records what one goroutine observed.
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

// steps draws a duration of up to count times 5 ms, so that many events share an instant.
func steps(r *rand.Rand, count int) time.Duration { return time.Duration(r.IntN(count+1)) * 5 * ms }

// faults draws the faults. They happen at instants of their own, because otherwise the program would race with them.
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

// end returns one of the two ends of a link.
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
	// Everything must end. After a crash the other end may have to wait for its keep-alive.
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

// silence checks what must hold once everybody has finished.
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
	all = append(all, p.n.Recount(), p.boxesInOrder())
	for _, l := range p.n.Stats().Links {
		lost := l.Lost + l.QueueFull + l.TooLarge
		if l.Sent+l.Duplicated != l.Delivered+lost || l.Dropped < lost {
			all = append(all, fmt.Errorf("the counters do not add up: %+v", l))
		}
	}
	for e := range p.n.Trace().Events() {
		// TCP's smallest segment does not fit into 68 bytes, which TCP finds out by trying.
		if e.Kind == sim.Dropped && e.Protocol == "tcp" && strings.HasPrefix(e.Note, "mtu") && p.mtu != 68 {
			all = append(all, fmt.Errorf("too large for the path: %v", e))
			break
		}
	}
	return errors.Join(all...)
}

// datagrams has two hosts exchange datagrams over UDP.
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
