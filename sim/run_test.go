package sim_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A segment that stands for a run behaves like its single segments, whatever happens on the way: links that change,
// or take no trains or no segments of that size; partitions that affect packets in flight; hosts that coalesce, pause
// or lose power.
func TestRunsAreTheirSegments(t *testing.T) {
	t.Parallel()
	runs, spaced := 0, 0
	for seed := range uint64(24) {
		account := func(oneByOne bool) string {
			return accountOf(t, oneByOne, func(n *sim.Network) {
				p := bulkBothWays{routers: int(seed % 3), rated: seed%2 == 0, r: rand.New(rand.NewPCG(seed, 3)), n: n}
				p.run(t)
				if !oneByOne {
					runs += p.runs
					spaced += p.spaced
				} else {
					require.Zero(t, p.runs)
				}
			}, sim.Seed(seed))
		}
		require.NoError(t, sameRun("the network with runs", account(true), account(false)), "seed %d", seed)
	}
	require.Greater(t, runs, 100, "nearly nothing was a run")
	require.Greater(t, spaced, 20, "nearly nothing was a run that is spaced")
}

// accountOf returns everything that a network can report about a program.
func accountOf(t *testing.T, oneByOne bool, program func(n *sim.Network), opts ...sim.Option) (account string) {
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		if oneByOne {
			n.OneByOne()
		}
		program(n)
		var b strings.Builder
		for e := range n.Trace().Events() {
			fmt.Fprintf(&b, "%v, %d bytes, content %08x\n", e, e.Size, e.Content)
		}
		for _, l := range n.Stats().Links {
			fmt.Fprintf(&b, "%#v\n", l)
		}
		account = b.String()
		return nil
	}, opts...))
	return account
}

func noRuns(n *sim.Network) bool {
	runs, _ := n.Runs()
	return runs == 0
}

// warmBytes are those after which a connection sends large buffers.
const warmBytes = 300_000

// warmPair returns a connection between two hosts that are about 200 µs apart, over which warmBytes have just been
// sent. The peer reads everything, and ended reports when it has read the end.
func warmPair(t *testing.T, n *sim.Network, a, b *sim.Host) (c *sim.TCPConn, ended <-chan time.Duration) {
	l, err := b.Listen("tcp", ":7")
	require.NoError(t, err)
	d, err := a.Dial("tcp", b.Name()+":7")
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	end := make(chan time.Duration, 1)
	go func() {
		_, err := io.Copy(io.Discard, s)
		require.NoError(t, err)
		end <- n.Elapsed()
	}()
	_, err = d.Write(make([]byte, warmBytes))
	require.NoError(t, err)
	time.Sleep(50 * time.Millisecond)
	return d.(*sim.TCPConn), end
}

// The second segment of a flight, which is the first of a run, fills a gap before the peer's FIN, which arrived
// earlier. The rest of the run arrives at a connection in CLOSE_WAIT.
func TestRunThatMeetsItsEnd(t *testing.T) {
	account := func(oneByOne bool) string {
		return accountOf(t, oneByOne, func(n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, netem.Config{Delay: 100 * time.Microsecond})
			c, ended := warmPair(t, n, a, b)
			link.Set(netem.Config{Delay: 100 * time.Millisecond})
			c.Write(make([]byte, 8*1448))
			written := n.Elapsed()
			time.Sleep(time.Millisecond)
			require.Equal(t, oneByOne, noRuns(n))
			// Everything sent from here on, new or retransmitted, arrives before that flight, except the flight's
			// first two segments.
			link.Set(netem.Config{Delay: time.Millisecond})
			n.Inject(0, 0, sim.Drop(link, sim.Packets{From: a, Kind: sim.Data, Where: func(e sim.Event) bool { return e.Seq < 1+warmBytes+2*1448 }})).MustFire()
			c.Write(make([]byte, 20*1448))
			c.CloseWrite()
			time.Sleep(time.Minute)
			require.Equal(t, written+100*time.Millisecond, <-ended)
		})
	}
	require.NoError(t, sameRun("the network with runs", account(true), account(false)))
}

// A run takes as many random draws of each link as its segments would, so that packets after it are lost alike.
func TestRunsTakeTheirDraws(t *testing.T) {
	account := func(oneByOne bool) string {
		return accountOf(t, oneByOne, func(n *sim.Network) {
			a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
			links := []*sim.Link{n.Link(a, r, netem.Config{Delay: 50 * time.Microsecond}), n.Link(r, b, netem.Config{Delay: 50 * time.Microsecond})}
			c, ended := warmPair(t, n, a, b)
			for _, l := range links {
				l.Set(netem.Config{Delay: time.Millisecond})
			}
			c.Write(make([]byte, 60_000))
			time.Sleep(500 * time.Microsecond)
			require.Equal(t, oneByOne, noRuns(n))
			time.Sleep(20 * time.Millisecond)
			for _, l := range links {
				l.Set(netem.Config{Delay: time.Millisecond, Loss: netem.Bernoulli(0.2)})
			}
			c.Write(make([]byte, 60_000))
			c.CloseWrite()
			time.Sleep(time.Minute)
			<-ended
		})
	}
	require.NoError(t, sameRun("the network with runs", account(true), account(false)))
}

// bulkBothWays makes large writes in both directions over a chain of links, with faults.
type bulkBothWays struct {
	routers int
	rated   bool
	r       *rand.Rand
	n       *sim.Network
	links   []*sim.Link
	runs    int // that were seen in flight,
	spaced  int // and of them, spaced
}

// config is that of a link, mostly one that takes trains or, if rated, runs that it spaces.
func (p *bulkBothWays) config() netem.Config {
	cfg := netem.Config{Delay: time.Duration(p.r.IntN(20_000)) * time.Microsecond}
	switch p.r.IntN(16) {
	case 0:
		cfg.Loss = netem.Bernoulli(0.01)
	case 1:
		cfg.MTU = 600 + p.r.IntN(5000)
	case 2:
		cfg.Rate, cfg.Queue = netem.Gbit, netem.DropTail{Packets: 100}
	default:
		if p.rated {
			cfg.Rate = netem.BitRate(20+p.r.IntN(1000)) * netem.Mbit
			cfg.Delay /= time.Duration(1 + p.r.IntN(100))
		}
	}
	return cfg
}

func (p *bulkBothWays) run(t *testing.T) {
	n, r := p.n, p.r
	a, b := n.Host("a"), n.Host("b")
	var last sim.Node = a
	for i := range p.routers {
		next := n.Router(fmt.Sprintf("r%d", i))
		p.links = append(p.links, n.Link(last, next, p.config()))
		last = next
	}
	p.links = append(p.links, n.Link(last, b, p.config()))
	l, err := b.Listen("tcp", ":7")
	require.NoError(t, err)
	for i := range 2 {
		c, err := a.Dial("tcp", "b:7")
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		for _, end := range []io.ReadWriteCloser{c, s} {
			go io.Copy(io.Discard, end)
			go p.write(end.(*sim.TCPConn), rand.New(rand.NewPCG(r.Uint64(), uint64(i))))
		}
	}
	for range 40 {
		time.Sleep(time.Duration(1+r.IntN(10_000)) * time.Microsecond)
		runs, spaced := n.Runs()
		p.runs += runs
		p.spaced += spaced
		p.trouble(a, b)
	}
	time.Sleep(10 * time.Minute)
}

// write sends large and small pieces, then FIN.
func (p *bulkBothWays) write(c *sim.TCPConn, r *rand.Rand) {
	for range 10 {
		data := make([]byte, 1+r.IntN(200_000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if _, err := c.Write(data); err != nil {
			return
		}
		time.Sleep(time.Duration(r.IntN(10_000)) * time.Microsecond)
	}
	c.CloseWrite()
}

func (p *bulkBothWays) trouble(a, b *sim.Host) {
	link, pause := p.links[p.r.IntN(len(p.links))], time.Duration(p.r.IntN(30_000))*time.Microsecond
	switch p.r.IntN(20) {
	case 0, 1:
		link.Set(p.config())
	case 2:
		link.Down()
		time.Sleep(pause)
		link.Up()
	case 3:
		link.Hold()
		time.Sleep(pause)
		link.Release()
	case 4, 5:
		b.Coalesce(time.Duration(p.r.IntN(3)) * 100 * time.Microsecond)
	case 6:
		a.Pause()
		time.Sleep(pause)
		a.Resume()
	case 7:
		f := sim.PartitionBy(p.n, sim.Groups([]*sim.Host{a}, []*sim.Host{b}), sim.PartitionConfig{InFlight: true})
		f.Begin()
		time.Sleep(pause)
		f.End()
	case 9:
		if p.r.IntN(4) == 0 {
			b.PowerOff()
		}
	}
}
