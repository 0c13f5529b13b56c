package comparison

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// The comparison's own arithmetic, where it can be done by hand.

func TestCrossingsAreFound(t *testing.T) {
	xs := []time.Duration{time.Second, 10 * time.Second, 100 * time.Second}
	flat := func(time.Duration) float64 { return 100 }
	falling := func(x time.Duration) float64 { return 1000 / x.Seconds() }

	at, later, found := crossing(xs, falling, flat)
	require.True(t, later && found)
	require.Equal(t, 10*time.Second, at.Round(time.Millisecond), "1000/x = 100")
	at, later, found = crossing(xs, flat, falling)
	require.True(t, !later && found)
	require.Equal(t, 10*time.Second, at.Round(time.Millisecond))

	// Between two points: 300/x = 100 at 3 s, a straight line when both scales are
	// logarithmic.
	at, _, _ = crossing(xs, func(x time.Duration) float64 { return 300 / x.Seconds() }, flat)
	require.Equal(t, 3*time.Second, at.Round(time.Millisecond))

	require.Equal(t, "by bytes from 10 s on", cheaper("bytes", xs, falling, flat))
	require.Equal(t, "by bytes up to 10 s", cheaper("bytes", xs, flat, falling))
	require.Equal(t, "by bytes always", cheaper("bytes", xs, flat, func(time.Duration) float64 { return 101 }))
	require.Equal(t, "by bytes never", cheaper("bytes", xs, flat, func(time.Duration) float64 { return 99 }))
}

func TestQuantilesAreExact(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i+1))
	}
	require.Equal(t, []time.Duration{1, 50, 99, 100}, []time.Duration{quantile(all, 0), quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1)})
	require.Zero(t, quantile(nil, 0.5))
}

func TestEventsComeAtRandom(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		draws, sum, longer := n.Rand("events"), 0.0, 0
		for range 10_000 {
			gap := poisson(30*time.Second, draws.Float64())
			sum += gap.Seconds()
			if gap > 60*time.Second {
				longer++
			}
		}
		require.InDelta(t, 30, sum/10_000, 1, "the mean")
		require.InDelta(t, math.Exp(-2), float64(longer)/10_000, 0.01, "the part that is more than twice the mean")
	})
}

// What is measured of one poll can be counted by hand: a client that polls every 10 s over
// a connection of its own, for a minute, from the third second after a poll on.
func TestTrafficIsWhatThePacketsSay(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		system := systems.ShortPoll(n, systems.InMemory, 10*time.Second, closing, func(c *shortpoll.Client) { c.Jitter = retry.NoJitter })
		st := newStage(t, n, system, "server")
		o, _ := st.client("client", reference)
		time.Sleep(3 * time.Second)
		st.publish()
		time.Sleep(80 * time.Second)
		m := measure(t, n, "client", 3*time.Second, 63*time.Second)

		require.Equal(t, 6, m.opened)
		require.Equal(t, 6, m.sends)
		// SYN, ACK, request, ACK of the answer, FIN; the other way SYN-ACK, ACK of the
		// request, answer, FIN, ACK of the other FIN.
		require.EqualValues(t, 6*5, m.packetsUp)
		require.EqualValues(t, 6*5, m.packetsDown)
		// From the SYN to the server's FIN, a round trip and a half.
		require.InDelta(t, 6*0.075/60, m.held, 1e-9)
		// The radio's tail reaches into the next: it is
		// on all the time from the first packet on.
		require.Equal(t, 1, m.wakeUps)
		require.Equal(t, 63*time.Second-10*time.Second, m.radioOn.Round(time.Second))
		require.Zero(t, st.missing(o))
		require.Equal(t, []time.Duration{7*time.Second + 100*time.Millisecond}, st.delays(o), "two round trips after the poll of 10 s")
	})
}

// A contender that loses and repeats is seen to.
func TestTheObserverSeesLossAndRepetition(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		o := newObserver(n)
		st := &stage{n: n, system: patterntest.System{Publish: func(string) error { return nil }}}
		for range 3 {
			st.publish()
		}
		o.Event(st.published[0].data)
		o.Event(st.published[2].data)
		o.Event(st.published[2].data)
		o.Gap("why")
		require.Equal(t, 1, st.missing(o))
		require.Equal(t, 1, o.more)
		require.Equal(t, 1, o.gaps)
		require.Len(t, st.published[0].data, eventSize)
	})
}

func TestEachContenderIsNamedOnce(t *testing.T) {
	names := map[string]bool{}
	for _, c := range append(contenders, encodings...) {
		require.False(t, names[c.name], c.name)
		names[c.name] = true
		require.NotNil(t, c.system, c.name)
	}
	for _, c := range contenders {
		require.NotEmpty(t, c.why, c.name)
	}
}

func TestSpansHaveThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 253 * time.Microsecond: "0.253 ms", 35238 * time.Microsecond: "35.2 ms", 999600 * time.Microsecond: "1 s",
		1034 * time.Millisecond: "1.03 s", 59960 * time.Millisecond: "60 s", 133 * time.Second: "2.22 min", 20 * time.Minute: "20 min", 3 * time.Hour: "3 h", -time.Millisecond: "-1 ms",
	} {
		require.Equal(t, want, span(d), d.String())
	}
}

// Rare events come exactly as often as a table says, but for what is cut to milliseconds.
func TestPartsOfTheDistribution(t *testing.T) {
	for _, count := range []int{1, 12, 200} {
		var sum time.Duration
		for part := range count {
			sum += poissonPart(10*time.Minute, part, count)
		}
		require.InDelta(t, float64(10*time.Minute), float64(sum)/float64(count), float64(time.Millisecond))
	}
	// The first half of an exponential distribution has a mean of 1 - ln 2, the second of 1 + ln 2.
	require.InDelta(t, 1000*(1-math.Ln2), poissonPart(time.Second, 0, 2).Seconds()*1000, 1)
	require.InDelta(t, 1000*(1+math.Ln2), poissonPart(time.Second, 1, 2).Seconds()*1000, 1)
}
