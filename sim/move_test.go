package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Datagrams of 100 bytes at 800 bit/s leave one second apart. When the link changes, the waiting ones leave at the
// new rate.
func TestSetMovesWhatWaits(t *testing.T) {
	const rate = 800 * netem.Bit
	s := time.Second
	for _, row := range []struct {
		name   string
		at     time.Duration
		to     netem.Config
		want   []time.Duration
		reason string
	}{
		{"nothing", 2500 * ms, netem.Config{Rate: rate}, []time.Duration{1 * s, 2 * s, 3 * s, 4 * s, 5 * s}, ""},
		{"lifted", 2500 * ms, netem.Config{}, []time.Duration{1 * s, 2 * s, 2500 * ms, 2500 * ms, 2500 * ms}, "all at once"},
		{"twice as fast", 2500 * ms, netem.Config{Rate: 2 * rate}, []time.Duration{1 * s, 2 * s, 2750 * ms, 3250 * ms, 3750 * ms}, "half of the third is left"},
		{"half as fast", 2500 * ms, netem.Config{Rate: rate / 2}, []time.Duration{1 * s, 2 * s, 3500 * ms, 5500 * ms, 7500 * ms}, ""},
		{"delay", 2500 * ms, netem.Config{Rate: rate, Delay: 2 * s}, []time.Duration{1 * s, 2 * s, 5 * s, 6 * s, 7 * s}, "for those that had not left"},
		{"a queue of one", 2500 * ms, netem.Config{Rate: rate, Queue: netem.DropTail{Packets: 1}}, []time.Duration{1 * s, 2 * s, 3 * s, 4 * s, 5 * s}, "takes no new ones"},
		{"loss", 2500 * ms, netem.Config{Rate: rate, Loss: netem.Bernoulli(1)}, []time.Duration{1 * s, 2 * s, 3 * s, 4 * s, 5 * s}, "they are on the link already"},
		{"at the last bit", 3 * s, netem.Config{}, []time.Duration{1 * s, 2 * s, 3 * s, 3 * s, 3 * s}, ""},
	} {
		for _, way := range []string{"a link", "behind a router", "an access link", "eager"} {
			t.Run(row.name+"/"+way, func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					a, b := n.Host("a"), n.Host("b")
					change := func() {}
					switch way {
					case "behind a router":
						n.Link(a, n.Router("r"), netem.Config{})
						link := n.Link(n.Router("r"), b, netem.Config{Rate: rate})
						change = func() { link.Set(row.to) }
					case "an access link":
						a.Access(netem.Config{Rate: rate}, netem.Config{})
						change = func() { a.Access(row.to, netem.Config{}) }
					case "eager":
						n.Eager()
						fallthrough
					default:
						link := n.Link(a, b, netem.Config{Rate: rate})
						change = func() { link.Set(row.to) }
					}
					u, err := b.ListenPacket("udp", ":9")
					require.NoError(t, err)
					c, err := a.Dial("udp", "b:9")
					require.NoError(t, err)
					for i := range row.want {
						c.Write(append(make([]byte, 71), byte(i)))
					}
					if way == "a link" {
						time.AfterFunc(row.at, change) // not in the engine's own turn
					} else {
						n.After(row.at, change)
					}
					var got []time.Duration
					p := make([]byte, 100)
					for i := range row.want {
						_, _, err := u.ReadFrom(p)
						require.NoError(t, err)
						require.Equal(t, byte(i), p[71], "in their order")
						got = append(got, n.Elapsed().Truncate(time.Microsecond)) // reads are 1 ns apart
					}
					require.Equal(t, row.want, got, row.reason)
				})
			})
		}
	}
}

// Each packet keeps its random draws. When a link becomes faster, the packets waiting at it arrive as if it had
// always been fast, with the same jitter, reordering and duplicates.
func TestSetKeepsWhatWasDrawn(t *testing.T) {
	cfg := netem.Config{Delay: 50 * ms, Jitter: 30 * ms, Duplicate: 0.3, Reorder: 0.3, Corrupt: 0.2}
	at := func(rate netem.BitRate) netem.Config {
		c := cfg
		c.Rate = rate
		return c
	}
	arrivals := func(from, to netem.BitRate) (got []string) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, at(from))
			u, err := b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			c, err := a.Dial("udp", "b:9")
			require.NoError(t, err)
			for i := range 60 {
				c.Write(append(make([]byte, 71), byte(i)))
			}
			if from != to {
				n.After(1, func() { link.Set(at(to)) })
			}
			u.SetReadDeadline(in(time.Minute))
			p := make([]byte, 100)
			for {
				_, _, err := u.ReadFrom(p)
				if err != nil {
					break
				}
				got = append(got, fmt.Sprint(p[71], n.Elapsed().Truncate(10*time.Microsecond)))
			}
		})
		return got
	}
	fast := 800 * netem.Kbit
	require.Equal(t, arrivals(fast, fast), arrivals(100, fast))
}

// A connection over a link of 800 bit/s finishes soon after the rate limit is removed.
func TestRateLiftedUnderAConnection(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms})
		accept(listen(t, b, ":7"), echo)
		c := dial(t, a, "b:7")
		link.Set(netem.Config{Delay: 10 * ms, Rate: 800 * netem.Bit})
		n.After(5*time.Second, func() { link.Set(netem.Config{Delay: 10 * ms}) })
		data := bytes.Repeat([]byte("squall"), 5_000)
		go c.Write(data)
		got := make([]byte, len(data))
		_, err := io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.Less(t, n.Elapsed(), 5500*ms)
		time.Sleep(time.Second)
		for _, l := range n.Stats().Links {
			require.Equal(t, l.Sent, l.Delivered)
		}
	})
}

// Links with every impairment change again and again while data flows in both directions. Every packet arrives once
// or is accounted for, and an engine without lookahead produces the same trace.
func TestLookaheadAndSetUnderLoad(t *testing.T) {
	for seed := range uint64(6) {
		run := func(eager bool, opts ...sim.Option) (account string) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				if eager {
					n.Eager()
				}
				r := rand.New(rand.NewPCG(seed, 1))
				cfg := func() netem.Config {
					c := netem.Config{Delay: time.Duration(r.IntN(30)) * ms, Duplicate: 0.1, Corrupt: 0.05}
					if r.IntN(4) > 0 {
						c.Rate = pick(r, 50*netem.Kbit, 300*netem.Kbit, 2*netem.Mbit, netem.BitRate(1e12))
					}
					if c.Delay > 0 && r.IntN(2) == 0 {
						c.Jitter = c.Delay / 2
						c.KeepOrder = r.IntN(2) == 0
						if !c.KeepOrder {
							c.Reorder = 0.1
						}
					}
					return c
				}
				a, b, router := n.Host("a"), n.Host("b"), n.Router("r")
				links := []*sim.Link{n.LinkAsym(a, router, cfg(), cfg()), n.LinkAsym(router, b, cfg(), cfg())}
				for i := range 40 {
					link, there, back := links[r.IntN(2)], cfg(), cfg()
					n.After(time.Duration(i*50+r.IntN(50))*ms+time.Duration(r.IntN(3)*1000), func() { link.SetAsym(there, back) })
				}
				accept(listen(t, b, ":7"), echo)
				c := dial(t, a, "b:7")
				u, err := a.Dial("udp", "b:9")
				check(err)
				go func() {
					for range 20 {
						u.Write(make([]byte, 1000))
						time.Sleep(70 * ms)
					}
				}()
				go c.Write(make([]byte, 60_000))
				_, err = io.ReadFull(c, make([]byte, 60_000))
				require.NoError(t, err)
				c.Close()
				time.Sleep(time.Minute)
				for _, l := range n.Stats().Links {
					require.Equal(t, l.Sent+l.Duplicated, l.Delivered, "%+v", l)
				}
				account = fmt.Sprintf("%v\n%v", n.Stats(), n.Trace())
			}, append(opts, sim.Seed(seed))...)
			return account
		}
		want := run(true)
		require.NoError(t, sameRun("an engine that leaves things for later", want, run(false)))
		require.NoError(t, sameRun("with ManyTimers", want, run(false, sim.ManyTimers())))
	}
}
