package sim_test

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// worked returns when pieces of work that begin at the given instants end, with their errors.
func worked(t *testing.T, n *sim.Network, h *sim.Host, pieces ...[2]time.Duration) (ends []time.Duration) {
	ends = make([]time.Duration, len(pieces))
	var all sync.WaitGroup
	for i, p := range pieces {
		all.Go(func() {
			time.Sleep(p[0] - n.Elapsed())
			require.NoError(t, h.Work(p[1]))
			ends[i] = n.Elapsed()
		})
	}
	all.Wait()
	return ends
}

// A piece of work takes its own time plus the time for which it has to wait.
func TestWork(t *testing.T) {
	const s = time.Second
	type pieces = [][2]time.Duration // begin, work
	for _, row := range []struct {
		name   string
		limits sim.HostLimits
		begin  func(n *sim.Network, h *sim.Host)
		pieces pieces
		ends   []time.Duration
	}{
		{name: "one", pieces: pieces{{0, s}}, ends: []time.Duration{s}},
		{name: "none", pieces: pieces{{s, 0}}, ends: []time.Duration{s}},
		{name: "a processor for each", pieces: pieces{{0, s}, {0, s}, {s / 2, s}}, ends: []time.Duration{s, s, 3 * s / 2}},
		{name: "one processor", limits: sim.HostLimits{CPUs: 1}, pieces: pieces{{0, s}, {0, s}}, ends: []time.Duration{2 * s, 2 * s}},
		{name: "one processor, one piece later", limits: sim.HostLimits{CPUs: 1}, pieces: pieces{{0, s}, {s / 2, s}}, ends: []time.Duration{3 * s / 2, 2 * s}},
		{name: "one processor, a short piece", limits: sim.HostLimits{CPUs: 1}, pieces: pieces{{0, s}, {0, s / 10}}, ends: []time.Duration{11 * s / 10, 2 * s / 10}},
		{name: "two processors for three", limits: sim.HostLimits{CPUs: 2}, pieces: pieces{{0, 2 * s}, {0, 2 * s}, {0, 2 * s}}, ends: []time.Duration{3 * s, 3 * s, 3 * s}},
		{name: "odd shares are rounded up once", limits: sim.HostLimits{CPUs: 2}, pieces: pieces{{0, 1}, {0, 3}, {0, 5}}, ends: []time.Duration{2, 4, 6}}, // at 1.5, 3.7 and 5.7 ns
		{name: "slow", limits: sim.HostLimits{Slowdown: 4}, pieces: pieces{{0, s}}, ends: []time.Duration{4 * s}},
		{name: "slow, with one processor", limits: sim.HostLimits{CPUs: 1, Slowdown: 4}, pieces: pieces{{0, s}, {0, s}}, ends: []time.Duration{8 * s, 8 * s}},
		{name: "slow for a while", begin: func(n *sim.Network, h *sim.Host) {
			n.After(s, func() { h.SetLimits(sim.HostLimits{Slowdown: 10}) })
			n.After(6*s, func() { h.SetLimits(sim.HostLimits{}) })
		}, pieces: pieces{{0, 2 * s}, {2 * s, s}}, ends: []time.Duration{6*s + s/2, 6*s + 6*s/10}},
		{name: "paused", begin: func(n *sim.Network, h *sim.Host) {
			n.After(s, h.Pause)
			n.After(5*s, h.Resume)
		}, pieces: pieces{{0, 3 * s}, {2 * s, s}, {2 * s, 0}}, ends: []time.Duration{7 * s, 6 * s, 5 * s}},
		{name: "the longest", limits: sim.HostLimits{Slowdown: 365}, pieces: pieces{{0, 24 * time.Hour}}, ends: []time.Duration{365 * 24 * time.Hour}},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				h := n.Host("h")
				if row.limits != (sim.HostLimits{}) {
					h.SetLimits(row.limits)
				}
				if row.begin != nil {
					row.begin(n, h)
				}
				require.Equal(t, row.ends, worked(t, n, h, row.pieces...))
			}, sim.Strict())
		})
	}
}

// Work ends with its process.
func TestWorkEndsEarly(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("h")
		for _, end := range []func(){h.Crash, h.PowerOff, h.Restart} {
			begin := n.Elapsed()
			n.After(time.Second, end)
			require.ErrorIs(t, h.Work(time.Hour), net.ErrClosed)
			require.Equal(t, time.Second, n.Elapsed()-begin)
			if n.Elapsed() < 3*time.Second {
				require.ErrorIs(t, h.Work(time.Hour), syscall.ENETDOWN)
				h.Restart()
			}
		}
		n.After(time.Second, h.Pause)
		n.After(2*time.Second, h.Crash)
		begin := n.Elapsed()
		require.ErrorIs(t, h.Work(time.Hour), net.ErrClosed)
		require.Equal(t, 2*time.Second, n.Elapsed()-begin)
		h.Restart()
		require.Equal(t, []time.Duration{n.Elapsed() + time.Second}, worked(t, n, h, [2]time.Duration{n.Elapsed(), time.Second}))
		n.After(time.Second, n.Close)
		require.ErrorIs(t, h.Work(time.Hour), net.ErrClosed)
		require.ErrorIs(t, h.Work(0), net.ErrClosed)
	})
}

// A busy server answers requests one after another: with one processor, ten requests of one instant take ten times as
// long as one.
func TestWorkOfAServer(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server := n.Host("server")
		server.SetLimits(sim.HostLimits{CPUs: 1})
		server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { server.Work(100 * time.Millisecond) }))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				resp, err := n.Host("phone").HTTPClient().Get("http://server/")
				require.NoError(t, err)
				resp.Body.Close()
			})
		}
		all.Wait()
		require.Equal(t, time.Second, n.Elapsed().Truncate(time.Microsecond))
	})
}

// Data on a disk survives a restart, and is gone when the disk is.
func TestDisk(t *testing.T) {
	var dirs []string
	run := func(n *sim.Network) error {
		a, b := n.Host("a"), n.Host("b")
		dirs = append(dirs, a.Dir(), b.Dir())
		file := filepath.Join(a.Dir(), "log")
		require.NoError(t, os.WriteFile(file, []byte("kept"), 0o600))
		for _, down := range []func(){a.Crash, a.PowerOff} {
			down()
			a.Restart()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, "kept", string(text))
		}
		require.NoError(t, os.MkdirAll(filepath.Join(a.Dir(), "x", "y"), 0o700))
		b.Wipe()
		require.FileExists(t, file)
		a.Wipe()
		entries, err := os.ReadDir(a.Dir())
		require.NoError(t, err)
		require.Empty(t, entries)
		n.Host("c").Wipe()
		return nil
	}
	require.NoError(t, sim.Try(t, run))
	n := sim.New()
	run(n)
	n.Close()
	slices.Sort(dirs)
	require.Len(t, slices.Compact(dirs), 4)
	for _, dir := range dirs {
		require.NoDirExists(t, dir, "removed with the network")
	}
}

// A new host does not take an address that another host was given.
func TestNewHostsHaveFreeAddresses(t *testing.T) {
	for _, given := range []string{"10.0.0.2", "2001:db8::2"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a := n.Host("a")
			a.AddAddr(netip.MustParseAddr(given))
			for _, name := range []string{"b", "c"} {
				for _, addr := range n.Host(name).Addrs() {
					require.NotContains(t, a.Addrs(), addr)
				}
			}
			require.Equal(t, "10.0.0.4", n.Host("c").Addr().String())
		}, sim.IPv6())
	}
}

// A limit of processors or speed counts each piece of work that it makes longer, including those in progress when it
// begins. A piece that both limits slow counts once.
func TestRestrictionsMeetWork(t *testing.T) {
	for _, row := range []struct {
		limits sim.HostLimits
		begin  time.Duration
		pieces int
		want   int
	}{
		{sim.HostLimits{CPUs: 1, Slowdown: 2}, 0, 3, 3},
		{sim.HostLimits{CPUs: 1}, 0, 3, 2}, // the first has it for itself
		{sim.HostLimits{CPUs: 2}, time.Second, 2, 0},
		{sim.HostLimits{CPUs: 2}, time.Second, 3, 3},
		{sim.HostLimits{Slowdown: 3}, time.Second, 2, 2},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			h := n.Host("h")
			f := n.Inject(row.begin, 0, sim.Restrict(h, row.limits))
			time.Sleep(1)
			pieces := make([][2]time.Duration, row.pieces)
			for i := range pieces {
				pieces[i] = [2]time.Duration{1, 10 * time.Second}
			}
			worked(t, n, h, pieces...)
			require.Equal(t, row.want, f.Fired().Count, "%+v", row)
		})
	}
}
