package sim_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// These impairments draw at random. None affects all packets alike.
var drawn = map[string]netem.Config{
	"Loss: Bernoulli":      {Loss: netem.Bernoulli(0.5)},
	"Loss: Correlated":     {Loss: netem.Correlated(0.5, 0.5)},
	"Loss: GilbertElliott": {Loss: netem.GilbertElliott{P: 0.3, R: 0.3, LossGood: 0.1, LossBad: 0.9}},
	"Duplicate":            {Duplicate: 0.5},
	"Reorder":              {Delay: 10 * ms, Reorder: 0.5},
	"Corrupt":              {Corrupt: 0.5},
	"Jitter":               {Delay: 10 * ms, Jitter: 5 * ms},
}

// fates sends datagrams over a link, with some seed, and returns what became of each.
func fates(t *testing.T, seed uint64, packets int, cfg netem.Config) (all []string, hash uint64) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.LinkAsym(a, b, cfg, netem.Config{})
		pc, err := b.ListenPacket("udp", ":7")
		require.NoError(t, err)
		defer pc.Close()
		c, err := a.Dial("udp", "b:7")
		require.NoError(t, err)
		for range packets {
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		for e := range n.Trace().Events() {
			if e.Kind != sim.Sent && e.Protocol == "udp" {
				all = append(all, fmt.Sprint(e.At, e.Kind, e.Note))
			}
		}
		hash = n.Trace().Hash()
	}, sim.Seed(seed))
	return all, hash
}

// seedsOfItsOwn makes a test use the seeds that it names, and seed 1 where it names none, whatever the environment
// says. The test's expectations were drawn from these seeds.
func seedsOfItsOwn(t *testing.T) {
	t.Setenv("SQUALL_SEED", "")
	t.Setenv("SQUALL_SEEDS", "")
}

// The seed affects every draw: two seeds give two sequences of fates. The hash of the trace depends only on what
// happened, so without draws it is the same.
func TestTheSeedReachesEveryDraw(t *testing.T) {
	seedsOfItsOwn(t)
	const packets = 64
	for _, name := range slices.Sorted(maps.Keys(drawn)) { // in one order, for a second process that does the same
		cfg := drawn[name]
		one, oneHash := fates(t, 1, packets, cfg)
		same, sameHash := fates(t, 1, packets, cfg)
		two, twoHash := fates(t, 2, packets, cfg)
		require.Equal(t, one, same, name)
		require.Equal(t, oneHash, sameHash, name)
		require.NotEqual(t, one, two, name)
		require.NotEqual(t, oneHash, twoHash, name)
	}
	one, oneHash := fates(t, 1, packets, netem.Config{Delay: 10 * ms})
	two, twoHash := fates(t, 2, packets, netem.Config{Delay: 10 * ms})
	require.Len(t, one, packets)
	require.Equal(t, one, two)
	require.Equal(t, oneHash, twoHash, "the seed is no part of what happened")
}

func TestTheSeedReachesRand(t *testing.T) {
	seedsOfItsOwn(t)
	draw := func(seed uint64, name string) (x uint64) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { x = n.Rand(name).Uint64() }, sim.Seed(seed))
		return x
	}
	require.Equal(t, draw(1, "a"), draw(1, "a"))
	require.NotEqual(t, draw(1, "a"), draw(2, "a"))
	require.NotEqual(t, draw(1, "a"), draw(1, "b"))
}
