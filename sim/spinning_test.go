package sim_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A loop that redials at once after each refusal advances time by a nanosecond a turn.
func TestVictimSpin(t *testing.T) {
	victim(t)
	sim.SetSpinLimit(20_000)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: ms}).Reject()
		go waitForNothing(make(chan int))
		dialWithoutPause(n.Host("a"), time.Now().Add(time.Hour))
	})
}

func dialWithoutPause(h *sim.Host, until time.Time) {
	for time.Now().Before(until) {
		h.Dial("tcp", "b:7")
	}
}

func TestWatchdogNamesTheLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, failed := outputOf(t, "TestVictimSpin")
	require.True(t, failed)
	requireInOrder(t, out, "virtual time hardly moves", "dialWithoutPause", "To repeat it:")
	require.NotContains(t, out[:strings.Index(out, "To repeat it:")], "waitForNothing", "it does not move")
}

// So does a loop that the network answers at once, including after the limit or the end of the test.
func TestVictimSpinInVain(t *testing.T) {
	victim(t)
	sim.SetSpinLimit(20_000)
	t.Run("limit", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("a"), n.Host("b"), netem.Config{}).Down()
			dialWithoutPause(n.Host("a"), time.Now().Add(time.Hour))
		}, sim.Limit(10*time.Minute))
	})
	t.Run("listener", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			l := listen(t, n.Host("a"), ":7")
			time.AfterFunc(time.Minute, func() { l.Close() })
			acceptWithoutPause(l, time.Now().Add(time.Hour))
		})
	})
	t.Run("busy loop", func(t *testing.T) { // a turn takes some milliseconds of real time
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			l := listen(t, n.Host("a"), ":7")
			n.After(time.Minute, n.Host("a").PowerOff)
			for sum := 0; ; {
				if _, err := l.Accept(); err != nil {
					for i := range 10_000_000 {
						sum += i
					}
				}
			}
		})
	})
	t.Run("end", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("a"), n.Host("b"), netem.Config{}).Down()
			go dialWithoutPause(n.Host("a"), time.Now().Add(time.Hour))
			time.Sleep(time.Minute)
		})
	})
	t.Run("next", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

func acceptWithoutPause(l net.Listener, until time.Time) {
	for time.Now().Before(until) {
		l.Accept()
	}
}

func TestWatchdogNamesALoopInVain(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimSpinInVain")
	require.True(t, failed)
	requireInOrder(t, out,
		"sim: the test hangs: the network was closed at 10m0s because virtual time reached its limit, 10m0s (sim.Limit), before the test ended",
		"dialWithoutPause", "a goroutine keeps calling the network without waiting", "net.ErrClosed",
		"sim: at 10m0s of virtual time", "[S] seq 0", "To repeat it:",
		"virtual time hardly moves: 0s of it passed", "calls and 0 steps", "acceptWithoutPause", "sim: at 1m0s of virtual time", "To repeat it:",
		"virtual time hardly moves: 0s of it passed", "calls and 0 steps", "TestVictimSpinInVain", "sim: at 1m0s of virtual time", "To repeat it:",
		"sim: the test hangs: the network was closed at 1m0s\n", "without waiting", "dialWithoutPause", "To repeat it:")
	require.Regexp(t, `in the last \d{3} calls and 0 steps`, out, "the busy loop makes few")
	for _, name := range []string{"limit", "listener", "busy_loop", "end"} {
		require.Contains(t, out, "--- FAIL: TestVictimSpinInVain/"+name)
	}
	require.Contains(t, out, "--- PASS: TestVictimSpinInVain/next")
}

// A test that lets time pass without using the network is reported, too.
func TestVictimBusyWithoutPackets(t *testing.T) {
	victim(t)
	sim.SetSpinLimit(20_000)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		l := listen(t, n.Host("a"), ":7")
		l.Close()
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(100 * time.Microsecond) {
			l.Accept()
		}
	})
}

func TestWatchdogLetsALoopWithPausesRun(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimBusyWithoutPackets")
	require.False(t, failed, out)
}

// A busy network whose time advances is not a loop, nor is a burst of packets at one instant.
func TestVictimBusy(t *testing.T) {
	victim(t)
	sim.SetSpinLimit(20_000)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: 10 * time.Microsecond})
		accept(listen(t, n.Host("b"), ":7"), echo)
		c := dial(t, n.Host("a"), "b:7")
		p := make([]byte, 1)
		for range fewerUnderRace(100_000) {
			c.Write(p)
			io.ReadFull(c, p)
		}
	})
}

func TestWatchdogLetsABusyNetworkWork(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, failed := outputOf(t, "TestVictimBusy")
	require.False(t, failed, out)
}
