package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The tests named TestVictim fail on purpose. The tests below run them in a process of their own, and read the output
// as a person would.
func victim(t *testing.T) {
	t.Helper()
	if os.Getenv("SQUALL_VICTIM") == "" {
		t.Skip("fails on purpose; run by the tests of the failure report")
	}
}

// outputOf runs a victim and returns what it prints, and whether it failed.
func outputOf(t *testing.T, name string, env ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := []string{"-test.run=^" + name + "$", "-test.v"}
	for _, e := range env {
		if timeout, ok := strings.CutPrefix(e, "SQUALL_VICTIM_TIMEOUT="); ok {
			args = append(args, "-test.timeout="+timeout)
		}
		if count, ok := strings.CutPrefix(e, "SQUALL_VICTIM_COUNT="); ok {
			args = append(args, "-test.count="+count)
		}
	}
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SQUALL_VICTIM=1", "SQUALL_SEED=", "SQUALL_SEEDS=", "SQUALL_CHECK=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return string(out), err != nil
}

// requireInOrder checks that a text contains some parts, one after the other.
func requireInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, found := strings.Cut(rest, p)
		require.True(t, found, "missing, or not in this place: %q\nin:\n%s", p, text)
		rest = after
	}
}

func TestVictimLostAnswer(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * ms})
		unused := n.Link(n.Host("other"), server, netem.Config{})
		unused.Down()
		accept(listen(t, server, ":7"), echo)
		n.After(time.Second, link.Down)
		n.After(time.Hour, link.Up)

		c := dial(t, phone, "server:7")
		time.Sleep(2 * time.Second)
		c.Write([]byte("anybody there?"))
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := io.ReadFull(c, make([]byte, 1))
		require.NoError(t, err, "the answer must come")
	})
}

func TestFailureReport(t *testing.T) {
	out, failed := outputOf(t, "TestVictimLostAnswer", "SQUALL_SEED=9")
	require.True(t, failed)
	requireInOrder(t, out,
		"the answer must come", // what was expected
		"at 7.08s of virtual time, seed 9",
		"Last events (an arrow is a packet at the time it was sent; x: dropped; *: other event):",
		"other", "server", "phone", // the chart's columns, each beside its neighbours
		"* link down",
		"[PA] 1:15 ack 1: link down", // the packet, and why it was dropped
		"Active at the end: other - server: link down (since 0s), phone - server: link down (since 1s)",
		"Faults that never fired:",
		"other - server: link down at 0s: it met no packet",
		"After at 1h0m0s: the test ended first",
		"To repeat it: SQUALL_SEED=9 "+sim.GoTest(), "-run '^TestVictimLostAnswer$' github.com/squall-sim/squall/sim",
		"a second run of seed 9 had the same trace and failed too",
	)
}

func TestVictimUnrepeatable(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		c := dial(t, a, "b:7")
		c.Write(make([]byte, 1+os.Getpid()%1000))
		time.Sleep(time.Second)
		t.Error("broken")
	})
}

func TestReportOfARunThatDoesNotReplay(t *testing.T) {
	out, failed := outputOf(t, "TestVictimUnrepeatable")
	require.True(t, failed)
	requireInOrder(t, out, "seed 1 does not replay: a second run had another trace and failed. ", "The first event that differs is number", "first:", "a:32768 > b:7", "second:", "a:32768 > b:7",
		"Network calls at that instant, in another run:", ": TCPConn.Write\n", "sim_test.TestVictimUnrepeatable.func1\n", "report_test.go:")
	require.NotContains(t, out, "TCPListener.Accept")
}

func TestCheckRunsTwiceAndCompares(t *testing.T) {
	for i, row := range []struct {
		victim string
		want   []string // nothing: it passes
	}{
		{"TestVictimOtherInEachProcess", []string{"two runs with the same seed differ. The first event that differs is number", "first:", "second:", "SQUALL_CHECK=1 SQUALL_SEED=1 " + sim.GoTest()}},
		{"TestVictimOtherContent", []string{"two runs with the same seed differ. The packets are the same, but their content is not", "with other bytes", "a:32768 > b:7 [PA] seq 1:11 ack 1 len 10\n", ": TCPConn.Write\n", "sim_test.sayFrom\n", "SQUALL_CHECK=1 SQUALL_SEED=1 " + sim.GoTest()}},
		{"TestVictimFailsInTheSecondProcess", []string{"the second one failed"}},
		{"TestVictimOtherEachTime", nil},
		{"TestVictimMayDiffer", nil},
		{"TestVictimSometimesElsewhere", []string{"there was no second run of seed 1", "ended before this run", "its last output:", "gone"}},
	} {
		if leftOutUnderRace(i) {
			continue
		}
		out, failed := outputOf(t, row.victim, "SQUALL_CHECK=1")
		require.Equal(t, len(row.want) > 0, failed, "%s: %s", row.victim, out)
		requireInOrder(t, out, row.want...)
		out, failed = outputOf(t, row.victim)
		require.False(t, failed, out)
	}
}

func TestVictimFailsOnce(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		sayFrom(t, n, make([]byte, 1))
		require.True(t, inSecondProcess())
	})
}

func TestVictimFailsOnceAndDiffers(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		sayFrom(t, n, make([]byte, 1+os.Getpid()%1000))
		require.True(t, inSecondProcess())
	})
}

func TestReportOfAFailureThatDoesNotComeAgain(t *testing.T) {
	out, failed := outputOf(t, "TestVictimFailsOnce")
	require.True(t, failed)
	require.Contains(t, out, "a second run of seed 1 had the same trace but passed: the failure depends on something other than the network")
	out, failed = outputOf(t, "TestVictimFailsOnceAndDiffers")
	require.True(t, failed)
	require.Contains(t, out, "seed 1 does not replay: a second run had another trace and passed. ")
}

// sayFrom makes a write to b:7. Its data may differ between two processes, for example in a number.
func sayFrom(t *testing.T, n *sim.Network, what []byte) {
	accept(listen(t, n.Host("b"), ":7"), echo)
	dial(t, n.Host("a"), "b:7").Write(what)
	time.Sleep(time.Second)
}

func TestVictimOtherInEachProcess(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { sayFrom(t, n, make([]byte, 1+os.Getpid()%1000)) })
}

func TestVictimOtherContent(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { sayFrom(t, n, fmt.Appendf(nil, "%010d", os.Getpid())) })
}

func TestVictimMayDiffer(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { sayFrom(t, n, fmt.Appendf(nil, "%010d", os.Getpid())) }, sim.MayDiffer("the number of the process is sent"))
	require.PanicsWithValue(t, "sim: MayDiffer: it needs a reason: why may two runs of the test differ?", func() { sim.MayDiffer("") })
}

// inSecondProcess says whether SQUALL_CHECK=1 has started this process.
func inSecondProcess() bool { return os.Getenv("SQUALL_CHECK") == "0" }

func TestVictimFailsInTheSecondProcess(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { require.False(t, inSecondProcess()) })
}

func TestVictimSometimesElsewhere(t *testing.T) {
	victim(t)
	if inSecondProcess() {
		fmt.Println("gone")
		os.Exit(1)
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {})
}

// State that a test leaves behind for its next bubble is the same in both processes, so it counts as no difference.
func TestVictimOtherEachTime(t *testing.T) {
	victim(t)
	turns := 0
	for range 3 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			turns++
			sayFrom(t, n, make([]byte, turns))
		})
	}
}

func TestVictimLeak(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		go waitForNothing(make(chan int))
	})
}

func TestVictimLeakWithFatal(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		go waitForNothing(make(chan int))
		t.Fatal("the reason")
	})
}

func waitForNothing(c chan int) { <-c }

func TestLeakedGoroutineIsNamed(t *testing.T) {
	for _, name := range []string{"TestVictimLeak", "TestVictimLeakWithFatal"} {
		out, failed := outputOf(t, name)
		require.True(t, failed)
		requireInOrder(t, out, "1 goroutine of the test still runs an hour after the network was closed", "waitForNothing", "To repeat it:")
		require.NotContains(t, out, "panic:", "the process must live on for the other tests")
		require.Equal(t, 1, strings.Count(out, "To repeat it:"), "once:\n%s", out)
	}
}

// If a response body is not closed, the report says so, however many goroutines of net/http wait for it.
func TestVictimBody(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("b").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(strings.Repeat("x", 10_000)))
		}))
		c := n.Host("a").HTTPClient()
		for i := range 30 {
			resp, err := c.Get("http://b/")
			require.NoError(t, err)
			switch {
			case i%3 == 0:
				io.ReadAll(resp.Body)
			case i%3 == 1:
				resp.Body.Close()
			}
		}
	})
}

func TestUnclosedBodyIsNamed(t *testing.T) {
	out, failed := outputOf(t, "TestVictimBody")
	require.True(t, failed)
	requireInOrder(t, out, "20 goroutines of the test still run an hour after the network was closed",
		"10 responses whose Body was neither closed nor read to its end", "Close the Body of each http.Response.",
		"... and 9 more goroutines with the same calls", "... and 9 more goroutines with the same calls", "To repeat it:")
	require.Equal(t, 1, strings.Count(out, "To repeat it:"), "once:\n%s", out)
	for _, once := range []string{"persistConn).readLoop(", "persistConn).writeLoop("} { // in any order
		require.Equal(t, 1, strings.Count(out, once), "%s once:\n%s", once, out)
	}
}

func TestVictimHang(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		waitForNothing(make(chan int))
	})
}

// Keep-alive probes never stop, so virtual time never runs out of events.
func TestVictimHangWithConnection(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		accept(listen(t, n.Host("b"), ":7"), func(c net.Conn) { waitForNothing(make(chan int)) })
		io.ReadAll(dial(t, n.Host("a"), "b:7"))
	})
}

func TestHangIsReported(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimHang")
	require.True(t, failed)
	requireInOrder(t, out, "every goroutine was blocked and no event was scheduled", "waitForNothing", "To repeat it:")
	require.NotContains(t, out, "panic:")

	out, failed = outputOf(t, "TestVictimHangWithConnection")
	require.True(t, failed)
	requireInOrder(t, out, "nothing but keep-alive happened for 30 days of virtual time", "waitForNothing")
}

func TestVictimProcessError(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").Run("worker", func(context.Context, *sim.Host) error { return errors.New("no disk") })
		time.Sleep(time.Second)
	})
}

func TestFailedProcessFailsTheTest(t *testing.T) {
	out, failed := outputOf(t, "TestVictimProcessError")
	require.True(t, failed)
	requireInOrder(t, out, `process "worker" on host "server" ended: no disk`)
}

func TestVictimPanic(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { panic("boom") })
}

func TestPanicNamesTheSeed(t *testing.T) {
	out, failed := outputOf(t, "TestVictimPanic", "SQUALL_SEED=77")
	require.True(t, failed)
	requireInOrder(t, out, "SQUALL_SEED=77 "+sim.GoTest())
	require.Contains(t, out, "boom")
}

func TestVictimSeeds(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.NotEqual(t, uint64(2), n.Seed())
	})
}

func TestSeedsFromTheEnvironment(t *testing.T) {
	out, failed := outputOf(t, "TestVictimSeeds", "SQUALL_SEEDS=3")
	require.True(t, failed)
	requireInOrder(t, out, "FAIL: TestVictimSeeds/seed=2", "PASS: TestVictimSeeds/seed=3")
	require.Contains(t, out, "SQUALL_SEED=2 "+sim.GoTest())
	require.Contains(t, out, "-run '^TestVictimSeeds$'", "the subtest exists only with SQUALL_SEEDS")

	for _, env := range []string{"SQUALL_SEED=x", "SQUALL_SEEDS=0: that is no seed", "SQUALL_SEEDS=-1: \"-1\" is not a seed", "SQUALL_CHECK=yes"} {
		setting, _, _ := strings.Cut(env, ":")
		out, failed = outputOf(t, "TestVictimSeeds", setting)
		require.True(t, failed)
		require.Contains(t, out, env+": want")
	}
	out, failed = outputOf(t, "TestVictimSeeds", "SQUALL_SEED=1", "SQUALL_SEEDS=2")
	require.True(t, failed)
	require.Contains(t, out, "set only one")
}
