package patterntest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// What a story cost is what went over the links.
func TestMeasures(t *testing.T) {
	fixSeed(t) // when a client returns after the restart is drawn, and so what it misses
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := patterntest.NewWorld(n, pushing{}.on(n), t.TempDir())
		a := w.Clients(2)[0]
		require.Zero(t, w.Measures().Accepted)
		connecting := w.Measures()
		w.PublishEvery(time.Second, 8)
		a.Link.Down()
		w.PublishEvery(50*time.Millisecond, 1)
		a.Link.Up()
		w.Server.Restart() // before e9 reaches a
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 1)
		w.Settle()

		m := w.Measures()
		require.Equal(t, 20, m.Accepted, "two clients, ten events")
		require.Equal(t, 19, m.Delivered)
		require.Zero(t, m.Repeated)
		require.Equal(t, 2, m.Gaps)
		require.Equal(t, 40*time.Millisecond, m.NotifyP50)
		require.Equal(t, m.NotifyMax, m.NotifyP99, "of less than a hundred")
		var up, down int64
		for _, l := range n.Stats().Links {
			if l.To == "server" {
				up += l.SentBytes
			} else {
				down += l.SentBytes
			}
		}
		require.Equal(t, up, m.Up)
		require.Equal(t, down, m.Down)
		require.Greater(t, m.Down, connecting.Down)
		require.Equal(t, 2, connecting.Dials)
		require.Greater(t, m.Dials, 2)
		require.Contains(t, m.String(), "19 of 20 delivered, 0 repeated, 2 gaps; notified after 40ms (p50)")
	})
}

// What a group of workers handles is delivered once, however many there are.
func TestMeasuresOfWork(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := patterntest.NewWorld(n, depot{}.on(n), t.TempDir())
		w.Worker("mail", "postman", nil)
		w.Worker("mail", "postwoman", func(_ context.Context, data string, nth int) error {
			if nth == 1 {
				return errors.New("not now")
			}
			return nil
		})
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 6)
		w.Settle()
		m := w.Measures()
		require.Equal(t, 6, m.Accepted, "each once, for the group")
		require.Equal(t, 6, m.Delivered)
		require.Zero(t, m.Repeated, "what failed was not handled before")
		require.Contains(t, m.String(), "6 of 6 delivered")
	})
}

// A herd counts as one wherever it begins: slots from round times on would cut this one in two.
func TestPeak(t *testing.T) {
	at := func(ms ...int) (times []time.Duration) {
		for _, t := range ms {
			times = append(times, time.Duration(t)*time.Millisecond)
		}
		return times
	}
	for _, row := range []struct {
		times []time.Duration
		most  int
		begin time.Duration
	}{
		{nil, 0, 0},
		{at(7), 1, 7 * time.Millisecond},
		{at(10, 60, 80, 90, 110, 120, 130, 179, 180), 6, 60 * time.Millisecond},
		{at(0, 100, 200), 1, 0},
	} {
		most, begin := patterntest.Peak(row.times, 100*time.Millisecond)
		require.Equal(t, row.most, most, "%v", row.times)
		require.Equal(t, row.begin, begin, "%v", row.times)
	}
}

// Attempts to connect count when the client makes them, also where they are held: at its host by a partition, or by its link.
func TestDialsCountWhenTheyAreMade(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone, server := n.Host("phone"), n.Host("server")
		link := n.Link(phone, server, netem.Config{})
		_, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		holds := func() *sim.Fault {
			return sim.PartitionBy(n, sim.Isolate(server), sim.PartitionConfig{Holds: true})
		}
		n.Inject(500*time.Millisecond, 5*time.Second, holds())
		n.Inject(4*time.Second, 6*time.Second, holds()) // what the first held goes on waiting
		n.Inject(20*time.Second, 5*time.Second, sim.Hold(link))
		for _, at := range []time.Duration{1, 2, 12, 21} {
			time.Sleep(at*time.Second - n.Elapsed())
			d := phone.Dialer()
			d.Timeout = 500 * time.Millisecond
			_, err := d.Dial("tcp", "server:80")
			require.Equal(t, at == 12, err == nil)
		}
		time.Sleep(time.Minute)
		require.Equal(t, map[string][]time.Duration{"phone": {time.Second, 2 * time.Second, 12 * time.Second, 21 * time.Second}}, patterntest.Dials(n))
	})
}
