package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A clock is right until a fault changes it. A step changes the wall clock alone, a drift also the
// monotonic clock.
func TestClocks(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		clock := a.Clock()
		is := func(wall, uptime time.Duration) {
			t.Helper()
			require.Equal(t, midnight.Add(wall), a.Now())
			require.Equal(t, uptime, clock.Uptime())
			require.Equal(t, midnight.Add(n.Elapsed()), b.Now(), "the other host's clock is its own")
			require.Equal(t, n.Elapsed(), b.Clock().Uptime())
		}
		is(0, 0)
		time.Sleep(time.Hour)
		is(time.Hour, time.Hour)
		before := a.Now()
		clock.Step(-2 * time.Hour)
		is(-time.Hour, time.Hour)
		require.Equal(t, -2*time.Hour, a.Now().Sub(before), "the times of a wall clock, without a monotonic reading")

		clock.Drift(100) // 100 µs a second, 0.36 s an hour
		time.Sleep(time.Hour)
		is(360*time.Millisecond, 2*time.Hour+360*time.Millisecond)
		a.PowerOff()
		time.Sleep(time.Hour)
		a.Restart()
		is(time.Hour+720*time.Millisecond, 3*time.Hour+720*time.Millisecond)

		clock.Set()
		is(3*time.Hour, 3*time.Hour+720*time.Millisecond)
		clock.Drift(-500_000)
		time.Sleep(2 * 365 * 24 * time.Hour / 3)
		is(3*time.Hour+365*24*time.Hour/3, 3*time.Hour+365*24*time.Hour/3+720*time.Millisecond)
		clock.Drift(0)
		time.Sleep(time.Second)
		is(3*time.Hour+365*24*time.Hour/3+time.Second, 3*time.Hour+365*24*time.Hour/3+time.Second+720*time.Millisecond)
		require.Same(t, clock, a.Clock())
	})
}

// A drift is exact however often the clock is read.
func TestDriftIsNotRounded(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := n.Host("a").Clock()
		c.Drift(1)
		for range 1000 {
			time.Sleep(999_999)
			c.Now()
		}
		require.Equal(t, 999_999_999*time.Nanosecond, c.Uptime(), "999,999,000 ns and a millionth, 999")
	})
}

// A timer of a host's clock fires when that clock has advanced, whatever steps the wall clock
// makes.
func TestClockTimers(t *testing.T) {
	for _, row := range []struct {
		ppm  int
		want time.Duration
	}{
		{0, time.Hour}, {1_000_000, 30 * time.Minute}, {-500_000, 2 * time.Hour}, {100, 3_599_640_035_997}, // 3600 s / 1.0001, rounded up
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c := n.Host("a").Clock()
			if row.ppm != 0 {
				c.Drift(row.ppm)
			}
			n.After(time.Minute, func() { c.Step(24 * time.Hour) })
			<-c.Timer(time.Hour).C
			require.Equal(t, row.want, n.Elapsed())
			require.InDelta(t, time.Hour, c.Uptime(), 2)
			<-c.Timer(-1).C
			require.Equal(t, row.want, n.Elapsed())
		})
	}
}

// A step that the program does not see has not fired. A program that measures by the monotonic
// clock does not see it.
func TestClockFaultsThatNeverFire(t *testing.T) {
	require.ErrorContains(t, sim.Try(t, func(n *sim.Network) error {
		c := n.Host("a").Clock()
		c.Step(time.Hour)
		c.Uptime()
		return nil
	}, sim.Strict()), "a: clock steps by 1h0m0s")
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		c := n.Host("a").Clock()
		c.Drift(5)
		c.Step(time.Hour)
		c.Now()
		return nil
	}, sim.Strict()))
}

func TestMisuseOfClocks(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := n.Host("a").Clock()
		require.PanicsWithValue(t, "sim: Clock.Step(0s): the step must not be 0", func() { c.Step(0) })
		for _, ppm := range []int{-500_001, 1_000_001} {
			require.Panics(t, func() { c.Drift(ppm) })
		}
	})
}
