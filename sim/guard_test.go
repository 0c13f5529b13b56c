package sim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stretchr/testify/suite"

	"github.com/squall-sim/squall/sim"
)

func boom(what string) { panic(what) }

// A panic fails its test. The report has the cause first, then the goroutine, the time, the stack,
// and the network's report.
func TestPanicsFailTheTest(t *testing.T) {
	for _, row := range []struct {
		name  string
		f     func(n *sim.Network) error
		wants []string
	}{
		{"the test", func(n *sim.Network) error {
			n.Host("a")
			time.Sleep(time.Minute)
			boom("out of paper")
			return nil
		}, []string{"sim: the test panicked: out of paper\n", "sim_test.boom(", "guard_test.go:", "at 1m0s of virtual time, seed 7", "To repeat it: SQUALL_SEED=7 " + sim.GoTestHere()}},
		{"misuse", func(n *sim.Network) error {
			n.Host("a").ServeHTTP(":80", http.NotFoundHandler())
			n.Host("a").ServeHTTP(":80", http.NotFoundHandler())
			return nil
		}, []string{"sim: host a: ServeHTTP: listen tcp :80: bind: address already in use\n      sim_test.TestPanicsFailTheTest.func", "guard_test.go:", "\n\nsim: at 0s"}},
		{"t.Run", func(n *sim.Network) error {
			boom("testing: t.Run called inside synctest bubble")
			return nil
		}, []string{"sim: the test panicked: testing: t.Run called inside synctest bubble\nCall sim.Test inside t.Run instead"}},
		{"a process", func(n *sim.Network) error {
			n.Host("server").Run("worker", func(context.Context, *sim.Host) error {
				time.Sleep(3 * time.Second)
				boom("out of paper")
				return nil
			})
			l := listen(t, n.Host("a"), ":7")
			_, err := l.Accept() // would wait for ever
			return err
		}, []string{
			"use of closed network connection",
			`sim: process "worker" on host "server" panicked at 3s of virtual time: out of paper` + "\n",
			`other calls may fail with "use of closed network connection"`,
			"sim_test.boom(", "guard_test.go:", "at 3s of virtual time, seed 7",
			`*** process "worker" on host "server" panics: out of paper ***`, "To repeat it: SQUALL_SEED=7 " + sim.GoTestHere(),
		}},
		{"a process after the end", func(n *sim.Network) error {
			n.Host("server").Run("worker", func(ctx context.Context, _ *sim.Host) error {
				<-ctx.Done()
				boom("out of paper")
				return nil
			})
			time.Sleep(time.Second)
			return nil
		}, []string{`sim: process "worker" on host "server" panicked at 1s of virtual time: out of paper` + "\n", "The network was already closed", "boom("}},
		{"After", func(n *sim.Network) error {
			n.Host("a")
			n.After(2*time.Second, func() { boom("out of paper") })
			time.Sleep(time.Minute)
			return nil
		}, []string{"sim: the function of After(2s) panicked at 2s of virtual time: out of paper\n", "boom(", "*** the function of After(2s) panics: out of paper ***"}},
		{"Goexit of a process", func(n *sim.Network) error {
			n.Host("server").Run("worker", func(context.Context, *sim.Host) error {
				time.Sleep(time.Second)
				runtime.Goexit()
				return nil
			})
			time.Sleep(time.Minute)
			return nil
		}, []string{`sim: process "worker" on host "server" ended by runtime.Goexit, which t.FailNow`, "(at 1s of virtual time)", "at 1m0s of virtual time"}},
		{"Goexit in After", func(n *sim.Network) error {
			n.After(time.Second, runtime.Goexit)
			time.Sleep(time.Minute)
			return nil
		}, []string{"sim: the function of After(1s) ended by runtime.Goexit"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := sim.Try(t, row.f, sim.Seed(7))
			require.Error(t, err)
			requireInOrder(t, err.Error(), row.wants...)
			require.Equal(t, 1, strings.Count(err.Error(), "To repeat it:"))
			for _, harness := range []string{"sim.(*runner)", "sim.(*Network).guard", "testing.tRunner", "created by", "runtime/panic.go:", "runtime/debug"} {
				require.NotContains(t, err.Error(), harness, "it is the same for each test")
			}
		})
	}
}

// A process whose context is cancelled may end in any way.
func TestGoexitOfACancelledProcess(t *testing.T) {
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		h := n.Host("server")
		h.Run("worker", func(ctx context.Context, _ *sim.Host) error {
			<-ctx.Done()
			runtime.Goexit()
			return nil
		})
		time.Sleep(time.Second)
		h.Crash()
		return nil
	}))
}

// On the wall clock a panic ends the process, as it would without the network.
func TestVictimPanicOnTheWallClock(t *testing.T) {
	victim(t)
	n := sim.New()
	defer n.Close()
	n.Host("server").Run("worker", func(context.Context, *sim.Host) error { boom("out of paper"); return nil })
	time.Sleep(10 * time.Second)
}

func TestPanicOnTheWallClock(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimPanicOnTheWallClock")
	require.True(t, failed)
	requireInOrder(t, out, `sim: process "worker" on host "server" panics at `, "panic: out of paper", "sim_test.boom(")
}

// A failure from before the run does not count as a failure of the run.
func TestVictimFailedBefore(t *testing.T) {
	victim(t)
	t.Error("before")
	sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Second) })
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		time.Sleep(2 * time.Second)
		t.Error("within")
	})
}

func TestOnlyTheRunsOwnFailureCounts(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimFailedBefore")
	require.True(t, failed)
	requireInOrder(t, out, "before", "within", "at 2s of virtual time", "To repeat it:", "a second run of seed 1 had the same trace and failed too")
	require.Equal(t, 1, strings.Count(out, "To repeat it:"))
	require.Equal(t, 1, strings.Count(out, "a second run of seed"))
}

// Failures reported to the caller's t are noticed, though f should use its own t.
func TestVictimOuterT(t *testing.T) {
	victim(t)
	t.Run("error", func(t *testing.T) {
		sim.Test(t, func(_ *testing.T, n *sim.Network) {
			time.Sleep(time.Second)
			t.Error("broken")
		})
	})
	t.Run("fatal", func(t *testing.T) {
		sim.Test(t, func(_ *testing.T, n *sim.Network) {
			time.Sleep(2 * time.Second)
			require.NoError(t, errors.New("broken"))
		})
	})
	t.Run("grandparent's", func(inner *testing.T) {
		sim.Test(inner, func(_ *testing.T, n *sim.Network) {
			time.Sleep(3 * time.Second)
			t.Fatal("broken")
		})
	})
}

type victimSuite struct{ suite.Suite }

func (s *victimSuite) TestOwnT() {
	sim.Test(s.T(), func(t *testing.T, n *sim.Network) {
		defer s.SetT(s.T())
		s.SetT(t)
		time.Sleep(5 * time.Second)
		s.Require().NoError(io.ErrUnexpectedEOF)
	})
}

func (s *victimSuite) TestCallersT() {
	sim.Test(s.T(), func(_ *testing.T, n *sim.Network) {
		time.Sleep(4 * time.Second)
		s.Require().NoError(io.ErrUnexpectedEOF)
	})
}

func TestVictimSuite(t *testing.T) {
	victim(t)
	suite.Run(t, new(victimSuite))
}

func TestFailuresByTheCallersT(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimOuterT", "SQUALL_CHECK=0")
	require.True(t, failed)
	leave := "use the t that it passes; in a testify suite begin with: defer s.SetT(s.T()); s.SetT(t)"
	requireInOrder(t, out,
		"at 1s of virtual time", "-run '^TestVictimOuterT$/^error$'",
		leave, "at 2s of virtual time", "-run '^TestVictimOuterT$/^fatal$'",
		leave, "at 3s of virtual time", `-run '^TestVictimOuterT$/^grandparent'\''s$'`)
	out, failed = outputOf(t, "TestVictimSuite", "SQUALL_CHECK=0")
	require.True(t, failed)
	requireInOrder(t, out, leave, "at 4s of virtual time", "-run '^TestVictimSuite$/^TestCallersT$'",
		"unexpected EOF", "at 5s of virtual time", "-run '^TestVictimSuite$/^TestOwnT$'")
	require.Equal(t, 1, strings.Count(out, leave))
}

// The error for a name that no host has lists the hosts that exist.
func TestUnknownNameListsTheHosts(t *testing.T) {
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		phone := n.Host("phone")
		n.Host("server")
		_, err := phone.Dial("tcp", "sever:80")
		require.EqualError(t, err, "dial tcp: lookup sever: no such host (the network has phone, server)")
		for _, name := range strings.Fields("c d e f g h i j k l m n") {
			n.Host(name)
		}
		_, err = phone.Listen("tcp", "sever:80")
		require.EqualError(t, err, "listen tcp: lookup sever: no such host (the network has phone, server, c, d, e, f, g, h, i, j and 4 more)")
		return nil
	}))
}
