package sim_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// dialForEver dials again and again until the network ends.
func dialForEver(h *sim.Host) error {
	for {
		c, err := h.Dial("tcp", "b:7")
		if err == nil {
			c.Close()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		time.Sleep(time.Second)
	}
}

// A test that reaches the limit of virtual time fails with the usual report.
func TestLimitEndsATest(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		n.Host("b")
		return dialForEver(n.Host("a"))
	}, sim.Limit(time.Minute))
	require.ErrorIs(t, err, net.ErrClosed)
	requireInOrder(t, err.Error(),
		"sim: the network was closed at 1m0s because virtual time reached its limit, 1m0s (sim.Limit), before the test ended.",
		"Goroutines of the test at that instant:", "dialForEver", "limit_test.go:",
		"sim: at 1m0s of virtual time", "59s", "[S] seq 0", "To repeat it:")
}

// A loop whose own attempt falls on the instant of the limit is not reported as waiting for a lock.
func TestLimitInStepWithTheProgram(t *testing.T) {
	for range 20 {
		err := sim.Try(t, func(n *sim.Network) error {
			for {
				n.Host("b")
				if _, err := n.Host("a").Dial("tcp", "b:7"); errors.Is(err, net.ErrClosed) {
					return err
				}
				time.Sleep(time.Hour)
			}
		}, sim.Limit(10*time.Hour))
		require.ErrorContains(t, err, "because virtual time reached its limit, 10h0m0s (sim.Limit), before the test ended")
		require.NotContains(t, err.Error(), "waits for a lock")
	}
}

// The default limit allows tests of more than a year, and sim.Limit allows longer ones.
func TestLimitLetsLongTestsPass(t *testing.T) {
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		time.Sleep(400 * 24 * time.Hour)
		require.Equal(t, 400*24*time.Hour, n.Elapsed())
		return nil
	}))
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		time.Sleep(99 * 365 * 24 * time.Hour)
		return nil
	}, sim.Limit(100*365*24*time.Hour)))
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		time.Sleep(time.Minute)
		return nil
	}, sim.Limit(time.Minute+1)))
}

// A test that ignores the end of its network is abandoned, and the next test runs.
func TestVictimLimit(t *testing.T) {
	victim(t)
	t.Run("loop", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			h := n.Host("a")
			for done := false; !done; time.Sleep(61 * time.Minute) {
				_, err := h.Dial("tcp", "b:7")
				done = err == nil
			}
		})
		t.Error("not reached")
	})
	t.Run("hang", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			time.Sleep(time.Second)
			n.Host("a").Dial("tcp", "a:7")
			waitForNothing(make(chan int))
		}, sim.Limit(time.Hour*24))
	})
	t.Run("try", func(t *testing.T) {
		err := sim.Try(t, func(n *sim.Network) error {
			waitForNothing(make(chan int))
			return nil
		})
		t.Log("Try returns:", err)
		require.False(t, t.Failed())
	})
	t.Run("next", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

func TestLimitAbandonsATestThatGoesOn(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimLimit")
	require.True(t, failed)
	requireInOrder(t, out,
		"because virtual time reached its limit, 17520h0m0s (sim.Limit), before the test ended", "sleep", "TestVictimLimit.func1.1", "limit_test.go:",
		"did not end within another 2h0m0s of virtual time, so it was abandoned", "sim: at 17520h0m0s of virtual time",
		"To repeat it:", "-run '^TestVictimLimit$/^loop$'",
		"every goroutine was blocked and no event was scheduled.", "The network was last used at 1s;", "waitForNothing", "report_test.go:",
		"sim: at 24h0m0s of virtual time",
		"Try returns: sim: the test hangs", "waitForNothing",
		"--- PASS: TestVictimLimit/next")
	require.NotContains(t, out, "not reached")
	require.NotContains(t, out, "second run", "it would take as long")
	require.NotContains(t, out, "panic:")
}

// The report of a deadlock on a connection names the calls that wait, and shows what happened before a month of
// keep-alives.
func TestDeadlockOnAConnection(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		accept(listen(t, n.Host("b"), ":7"), readOnly)
		c := dial(t, n.Host("a"), "b:7")
		c.Write([]byte("hello"))
		_, err := io.ReadAll(c)
		return err
	})
	require.ErrorIs(t, err, net.ErrClosed)
	requireInOrder(t, err.Error(), "Goroutines of the test at that instant:", "TCPConn.Read", "readOnly", "limit_test.go:",
		"Last events", "[S] seq 0", "[PA] seq 1:6 ack 1 len 5", "keep-alive probes and answers", "To repeat it:")
	require.Contains(t, err.Error(), "TestDeadlockOnAConnection.func1")
	require.NotContains(t, err.Error(), "sim.worker", "the engine is no goroutine of the test")
}

func readOnly(c net.Conn) { io.ReadAll(c) }

// A noticeBoard collects notices and sets a flag at the first.
type noticeBoard struct {
	mu   sync.Mutex
	text bytes.Buffer
	hung atomic.Bool
}

func (b *noticeBoard) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.hung.Store(true)
	return b.text.Write(p)
}

func retry(h *sim.Host, done *atomic.Bool) {
	for !done.Load() {
		h.Dial("tcp", "b:7")
		time.Sleep(time.Second)
	}
}

func dialOverADelay(h *sim.Host, done *atomic.Bool) {
	for !done.Load() {
		h.Dial("tcp", "b:7")
	}
}

func waitByLooking(done *atomic.Bool) {
	for stop := time.Now().Add(time.Hour); time.Now().Before(stop) && !done.Load(); {
	}
}

func spinOnFlag(done *atomic.Bool) {
	for !done.Load() {
	}
}

func yieldOnFlag(done *atomic.Bool) {
	for !done.Load() {
		runtime.Gosched()
	}
}

func napOnFlag(done *atomic.Bool) {
	for !done.Load() {
		time.Sleep(1)
	}
}

func playPingPong(done *atomic.Bool) {
	ping, pong := make(chan bool), make(chan bool)
	go func() {
		for range ping {
			pong <- true
		}
		close(pong)
	}()
	for !done.Load() {
		ping <- true
		<-pong
	}
	close(ping)
	<-pong
}

// A test that takes long in real time is reported once, whatever it is doing, with the goroutines that are active.
func TestNoticeOfATestThatTakesLong(t *testing.T) {
	for _, row := range []struct {
		name string
		f    func(h *sim.Host, done *atomic.Bool)
	}{
		{"retry", retry},
		{"dialOverADelay", dialOverADelay},
		{"waitByLooking", func(_ *sim.Host, done *atomic.Bool) { waitByLooking(done) }},
		{"spinOnFlag", func(_ *sim.Host, done *atomic.Bool) { spinOnFlag(done) }},
		{"yieldOnFlag", func(_ *sim.Host, done *atomic.Bool) { yieldOnFlag(done) }},
		{"napOnFlag", func(_ *sim.Host, done *atomic.Bool) { napOnFlag(done) }},
		{"playPingPong", func(_ *sim.Host, done *atomic.Bool) { playPingPong(done) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			var board noticeBoard
			defer sim.Monitor(20*ms, 50*ms, 0, &board)()
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				a := n.Host("a")
				n.Link(a, n.Host("b"), netem.Config{Delay: ms})
				row.f(a, &board.hung)
				return nil
			}, sim.Seed(7)))
			text := board.text.String()
			requireInOrder(t, text, "sim: TestNoticeOfATestThatTakesLong/"+row.name+", seed 7, has been running for", "of real time",
				"of virtual time have passed", "Running goroutines:", "sim_test."+row.name, "limit_test.go:", "To repeat it: SQUALL_SEED=7 "+sim.GoTestHere())
			require.Equal(t, 1, strings.Count(text, "has been running for"), "once:\n%s", text)
		})
	}
}

// Shortly before go test's deadline a test is abandoned with its full report, and the tests after it run.
func TestVictimDeadline(t *testing.T) {
	victim(t)
	defer sim.Monitor(20*ms, time.Hour, 300*ms, os.Stderr)()
	var never atomic.Bool
	for name, f := range map[string]func(h *sim.Host){
		"retry": func(h *sim.Host) { retry(h, &never) },
		"nap":   func(h *sim.Host) { napOnFlag(&never) },
		"spin":  func(h *sim.Host) { spinOnFlag(&never) },
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				n.Host("b")
				f(n.Host("a"))
			})
		})
	}
	t.Run("next", func(t *testing.T) {
		sim.Monitor(time.Second, time.Hour, time.Hour, os.Stderr)
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

func TestDeadlineGivesTheReport(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimDeadline")
	require.True(t, failed)
	for name, function := range map[string]string{"retry": "retry", "nap": "napOnFlag", "spin": "spinOnFlag"} {
		requireInOrder(t, out, "sim: TestVictimDeadline/"+name+", seed 1, is still running after", "go test's deadline (-timeout) is near", "sim_test."+function, "limit_test.go:",
			"of virtual time, seed 1", "To repeat it: SQUALL_SEED=1 "+sim.GoTest())
		require.Contains(t, out, "--- FAIL: TestVictimDeadline/"+name)
	}
	requireInOrder(t, out, "TestVictimDeadline/retry, seed 1, is still running", "Last events", "[S] seq 0", "To repeat it:")
	require.Contains(t, out, "--- PASS: TestVictimDeadline/next")
	require.NotContains(t, out, "panic:")
}

func TestVictimTimeout(t *testing.T) {
	victim(t)
	sim.SetAhead(29 * time.Second)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("b")
		var never atomic.Bool
		retry(n.Host("a"), &never)
	})
}

// The same with go test's own deadline.
func TestTimeoutGivesTheReport(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, failed := outputOf(t, "TestVictimTimeout", "SQUALL_VICTIM_TIMEOUT=30s")
	require.True(t, failed)
	requireInOrder(t, out, "seed 1, is still running after", "retry", "Last events", "To repeat it:", "--- FAIL: TestVictimTimeout")
	require.NotContains(t, out, "test timed out")
}

// A bubble cannot contain another bubble.
func TestTestInsideOfTest(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		sim.Test(t, func(*testing.T, *sim.Network) {})
		return nil
	})
	require.ErrorContains(t, err, "sim: Test is called inside Test, Try or synctest.Test: it makes a bubble of its own")
}

// With -race: a monitor that looks before the test has started finds nothing and does no harm.
func TestMonitorLooksAtOnce(t *testing.T) {
	defer sim.Monitor(time.Nanosecond, time.Hour, 0, io.Discard)()
	for range 20 {
		require.NoError(t, sim.Try(t, func(*sim.Network) error { return nil }))
	}
}
