package netem_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func newPipe(t testing.TB, cfg netem.Config) *netem.Pipe {
	t.Helper()
	p, err := netem.NewPipe(cfg)
	require.NoError(t, err)
	return p
}

// losses sends n packets, one at a time, and returns which were lost.
func losses(t testing.TB, model netem.LossModel, n int) []bool {
	p, r := newPipe(t, netem.Config{Loss: model}), netem.NewStream(1, "losses")
	lost := make([]bool, n)
	for i := range lost {
		lost[i] = p.Send(netem.Packet{Size: 1500}, time.Duration(i), &r).Reason == netem.DropLoss
	}
	return lost
}

// lossStats are the figures that are compared with the closed forms.
type lossStats struct{ rate, lag1, burst float64 }

func stats(lost []bool) lossStats {
	var losses, pairs, bursts float64
	for i, l := range lost {
		if !l {
			continue
		}
		losses++
		if i > 0 && lost[i-1] {
			pairs++
		} else {
			bursts++
		}
	}
	n := float64(len(lost))
	rate := losses / n
	return lossStats{rate: rate, lag1: (pairs/(n-1) - rate*rate) / (rate * (1 - rate)), burst: losses / bursts}
}

func TestBernoulliRate(t *testing.T) {
	const n = 1_000_000
	for _, row := range []struct {
		p      float64
		reason string
	}{
		{0, "never"},
		{0.0001, "a good line"},
		{0.01, "the usual"},
		{0.5, "a coin"},
		{0.99, "nearly all"},
		{1, "all"},
	} {
		got := stats(losses(t, netem.Bernoulli(row.p), n))
		require.InDelta(t, row.p, got.rate, 5*math.Sqrt(row.p*(1-row.p)/n), row.reason)
		if row.p > 0 && row.p < 1 {
			require.InDelta(t, 0, got.lag1, 5/math.Sqrt(n), "p = %v: independent of the packet before", row.p)
		}
	}
}

func TestCorrelatedHasTheRightRate(t *testing.T) {
	const n = 1_000_000
	for _, row := range []struct {
		p, rho float64
		reason string
	}{
		{0.003, 0.25, "the example of tc-netem's manual, which loses nothing there"},
		{0.2, 0.75, "Jepsen's default, 0.1 % there"},
		{0.5, 0.5, "symmetric"},
		{0.2, 0, "no correlation is Bernoulli"},
		{0.8, 0.9, "long bursts"},
	} {
		got := stats(losses(t, netem.Correlated(row.p, row.rho), n))

		// The variance of the mean of a chain whose lag-k correlation is rho^k.
		inflation := (1 + row.rho) / (1 - row.rho)
		require.InDelta(t, row.p, got.rate, 5*math.Sqrt(row.p*(1-row.p)*inflation/n), row.reason)

		// Bursts are geometric: they end with probability (1-p)(1-rho).
		end := (1 - row.p) * (1 - row.rho)
		bursts := n * row.p * end
		require.InDelta(t, 1/end, got.burst, 5*math.Sqrt((1-end)/(end*end)/bursts), row.reason)

		// lag1 carries the burst's information again, scaled: the error of P(loss|loss) over 1-p.
		require.InDelta(t, row.rho, got.lag1, 5*math.Sqrt(end*(1-end)/(n*row.p))/(1-row.p)+5*math.Sqrt(inflation/n), row.reason)
	}
}

func TestCorrelatedStartsAtItsRate(t *testing.T) {
	const n = 100_000
	first := 0
	parent := netem.NewStream(1, "first")
	for i := range n {
		p, r := newPipe(t, netem.Config{Loss: netem.Correlated(0.2, 0.75)}), parent.Derive(uint64(i))
		if p.Send(netem.Packet{Size: 1500}, 0, &r).Dropped() {
			first++
		}
	}
	require.InDelta(t, 0.2, float64(first)/n, 5*math.Sqrt(0.2*0.8/n))
}

func TestGilbertElliottMatchesItsStationaryLoss(t *testing.T) {
	const n = 2_000_000
	for _, row := range []struct {
		model  netem.GilbertElliott
		burst  float64 // 0: not a closed form
		reason string
	}{
		{netem.GilbertElliott{P: 0.01, R: 0.3}, 1 / 0.3, "Gilbert: all is lost in the bad state; 3.226 %, bursts of 3.333"},
		{netem.GilbertElliott{P: 0.001, R: 0.1}, 10, "rare long bursts; 0.990 %, bursts of 10"},
		{netem.GilbertElliott{P: 0.02, R: 0.25, LossGood: 0.01, LossBad: 0.7}, 0, "loss in both states; 6.111 %"},
		{netem.GilbertElliott{P: 0.3, R: 0.7}, 1 / 0.7, "P = 1-R is Bernoulli(P)"},
	} {
		g := row.model
		if g.LossBad == 0 {
			g.LossBad = 1
		}
		bad := g.P / (g.P + g.R)
		want := (g.R*g.LossGood + g.P*g.LossBad) / (g.P + g.R)
		got := stats(losses(t, row.model, n))

		// The loss of the two states differs by LossBad-LossGood, and the state has lag-k
		// correlation (1-P-R)^k. The independent draw in each state comes on top.
		lambda := 1 - g.P - g.R
		spread := g.LossBad - g.LossGood
		variance := spread*spread*bad*(1-bad)*(1+lambda)/(1-lambda) +
			bad*g.LossBad*(1-g.LossBad) + (1-bad)*g.LossGood*(1-g.LossGood)
		require.InDelta(t, want, got.rate, 5*math.Sqrt(variance/n), row.reason)
		if row.burst > 0 {
			bursts := n * bad * g.R
			require.InDelta(t, row.burst, got.burst, 5*math.Sqrt((1-g.R)/(g.R*g.R)/bursts), row.reason)
		}
	}
}

// With P = R = 1/2 the states are independent of each other, and so must be the losses: a loss says
// nothing about the transition after it.
func TestGilbertElliottMovesIndependentlyOfLoss(t *testing.T) {
	const n = 500_000
	got := stats(losses(t, netem.GilbertElliott{P: 0.5, R: 0.5, LossBad: 0.5}, n))
	require.InDelta(t, 0.25, got.rate, 5*math.Sqrt(0.25*0.75/n))
	require.InDelta(t, 0, got.lag1, 5/math.Sqrt(n))
}

// A transition takes effect with the next packet: with P = R = 1 the chain alternates, and the
// first packet is still in the good state.
func TestGilbertElliottStartsGood(t *testing.T) {
	require.Equal(t, []bool{false, true, false, true}, losses(t, netem.GilbertElliott{P: 1, R: 1}, 4))
	require.Equal(t, []bool{true, false, true, false}, losses(t, netem.GilbertElliott{P: 1, R: 1, LossGood: 1, LossBad: 1e-300}, 4))
}

func TestEveryNthAndDropList(t *testing.T) {
	for _, row := range []struct {
		model  netem.LossModel
		lost   []int
		reason string
	}{
		{netem.EveryNth(1), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "all"},
		{netem.EveryNth(3), []int{3, 6, 9}, "the third of each three"},
		{netem.EveryNth(11), nil, "not yet"},
		{netem.DropList{5, 9}, []int{5, 9}, "counted from 1"},
		{netem.DropList{1, 2, 10, 99}, []int{1, 2, 10}, "the first, neighbours, the last"},
		{netem.DropList{}, nil, "an empty list"},
	} {
		var got []int
		for i, lost := range losses(t, row.model, 10) {
			if lost {
				got = append(got, i+1)
			}
		}
		require.Equal(t, row.lost, got, "%v: %s", row.model, row.reason)
	}
}

func TestDropListIsCopied(t *testing.T) {
	list := netem.DropList{2}
	p, r := newPipe(t, netem.Config{Loss: list}), netem.NewStream(1)
	list[0] = 1
	p.Config().Loss.(netem.DropList)[0] = 1
	require.False(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped())
	require.True(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped())
}
