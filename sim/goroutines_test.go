package sim

import (
	"context"
	"flag"
	"io"
	"iter"
	"net"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/stacks"
)

// The labels need no quotes, look like the end of a header, or fill the buffer into which a
// goroutine prints its own stack.
func TestLabelledGoroutinesAreFound(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1") // the default of a module whose go line is 1.27
	for _, label := range []string{"x", "], synctest bubble 7]:\n\n", strings.Repeat("long", 1000)} {
		pprof.Do(t.Context(), pprof.Labels("job", label), func(context.Context) {
			Test(t, func(t *testing.T, n *Network) {
				self, bubble := stacks.This()
				require.NotEmpty(t, bubble)
				var mu sync.Mutex
				mu.Lock()
				var done sync.WaitGroup
				done.Go(func() { mu.Lock() })
				for !labelledWaiter(bubble, self, "sync.Mutex.Lock") {
					runtime.Gosched()
				}
				mu.Unlock()
				done.Wait()
				go time.Sleep(time.Nanosecond)
				for !labelledWaiter(bubble, self, "sleep (durable)") {
					runtime.Gosched()
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// labelledWaiter reports whether a goroutine of the bubble, other than the caller, has a label and
// is in that state.
func labelledWaiter(bubble, self, state string) bool {
	for _, g := range stacks.InBubble(bubble) {
		if g.ID != self && g.State == state && strings.Contains(g.Text, "job") {
			return true
		}
	}
	return false
}

// A benchmark that calls Test measures what a test costs.
func TestBenchmarkIsNobodyElse(t *testing.T) {
	if strings.Contains(stacks.Dump(), stacks.OwnPackage+".(*weight).") {
		t.Skip("another test has left a ballast behind, so that all stacks are looked at")
	}
	const name = "test.benchtime"
	before := flag.Lookup(name).Value.String()
	require.NoError(t, flag.Set(name, "2x"))
	defer func() { require.NoError(t, flag.Set(name, before)) }()
	testing.Benchmark(func(b *testing.B) { // once for a first look, in a goroutine of its own, then twice
		for range b.N {
			synctest.Test(t, func(t *testing.T) { require.True(t, nobodyInTheProcess(), stacks.Dump()) })
		}
	})
}

// Every test ends with a check for goroutines that are left. It is quick if there are none.
func TestNobodyElseIsSeenQuickly(t *testing.T) {
	if !Exact() && strings.Contains(stacks.Dump(), stacks.OwnPackage+".(*weight).") {
		t.Skip("another test has left a ballast behind, so that all stacks are looked at")
	}
	for name, leave := range map[string]func(n *Network, c net.Conn, end chan struct{}){
		"nobody":      nil,
		"a function":  func(_ *Network, _ net.Conn, end chan struct{}) { go func() { <-end }() },
		"a WaitGroup": func(_ *Network, _ net.Conn, end chan struct{}) { new(sync.WaitGroup).Go(func() { <-end }) },
		"a sleep":     func(*Network, net.Conn, chan struct{}) { go time.Sleep(time.Hour) },
		"a timer":     func(_ *Network, _ net.Conn, end chan struct{}) { time.AfterFunc(1, func() { <-end }) },
		"a coroutine": func(_ *Network, _ net.Conn, end chan struct{}) {
			next, stop := iter.Pull(func(yield func(int) bool) {
				for yield(0) {
				}
			})
			next()
			go func() { <-end; stop() }()
		},
		"a call, the network being open": func(_ *Network, c net.Conn, _ chan struct{}) { go c.Read(make([]byte, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				l, err := n.Host("server").Listen("tcp", ":7")
				require.NoError(t, err)
				c, err := n.Host("client").Dial("tcp", "server:7")
				require.NoError(t, err)
				end := make(chan struct{})
				open := strings.Contains(name, "open")
				if !open {
					l.Close()
					c.Close()
					n.Close()
				}
				if leave != nil {
					leave(n, c, end)
				}
				time.Sleep(time.Second)
				require.Equal(t, leave == nil, n.nobodyElse())
				close(end)
				time.Sleep(70 * time.Minute)
				require.Equal(t, !open, n.nobodyElse())
			})
		})
	}
}

// A goroutine in what the runtime counts as a system call cannot hold the lock that a frozen test
// waits for. Otherwise a frozen test would stand still for a minute with -cpuprofile.
func TestProfilesDoNotStopAFrozenTest(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Skip("the run of the tests is profiled itself: ", err)
	}
	defer pprof.StopCPUProfile()
	for {
		for entry := range strings.SplitSeq(stacks.Dump(), "\n\n") {
			h, ok := stacks.ReadHeader(entry)
			require.True(t, ok, entry)
			if h.State != "syscall" || !strings.Contains(entry, "runtime/pprof.profileWriter(") || strings.Contains(entry, "newProfileBuilder(") {
				continue // newProfileBuilder reads a file at first
			}
			s := lookAt("goroutine 1 [running]:\n\n"+entry, "1")
			require.False(t, s.outside, entry)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Until a bubble has made its network, the watchdog waits between two looks.
func TestWatchdogWaitsForTheNetwork(t *testing.T) {
	w := clockWatch{d: &watchdog{run: newBubbleRun(t)}}
	require.True(t, w.watch())
	require.GreaterOrEqual(t, w.pause, looksOften)
}
