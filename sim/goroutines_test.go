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
)

func TestStackHeaderIsUnderstood(t *testing.T) {
	for _, row := range []struct {
		name, header, id, state, bubble string
	}{
		{"no bubble", "goroutine 7 [chan receive]:\n", "7", "chan receive", ""},
		{"bubble", "goroutine 21 [select (durable), synctest bubble 3]:\n", "21", "select (durable)", "3"},
		{"all attributes", "goroutine 8 [sync.Mutex.Lock, 12 minutes, locked to thread, synctest bubble 40]:\n", "8", "sync.Mutex.Lock", "40"},
		{"GOTRACEBACK=system", "goroutine 1 gp=0xc0000021c0 m=0 mp=0x8fd9a0 [running, synctest bubble 1]:\n", "1", "running", "1"},
		{"GOTRACEBACK=system, no thread", "goroutine 1 gp=0xc0000021c0 m=nil [IO wait]:\n", "1", "IO wait", ""},
		{"a parenthesis in the state", "goroutine 2 [chan receive (nil chan) (durable), synctest bubble 5]:\n", "2", "chan receive (nil chan) (durable)", "5"},
		{"labels of 1.27", "goroutine 9 [running, synctest bubble 3] {job: x}:\n", "9", "running", "3"},
		{"labels of 1.26", "goroutine 9 [running, synctest bubble 3 labels:{\"job\": \"x\"}]:\n", "9", "running", "3"},
		{"labels of 1.26, no bubble", "goroutine 9 [select labels:{\"job\": \"x\"}]:\n", "9", "select", ""},
		{"a label like a header", "goroutine 9 [select] {\"], synctest bubble 7]:\": x}:\n", "9", "select", ""},
		{"the same in 1.26", "goroutine 9 [select labels:{\"], synctest bubble 7]:\": \"x\"}]:\n", "9", "select", ""},
		{"threads and labels", "goroutine 9 [running, locked to thread, synctest bubble 3 labels:{\"a\": \"]:\\n\"}]:\n", "9", "running", "3"},
		{"cut off in the labels", "goroutine 9 [running, synctest bubble 3] {job: xxxxxxxx", "9", "running", "3"},
	} {
		h, ok := readHeader(row.header)
		require.True(t, ok, row.name)
		require.Equal(t, header{row.id, row.state, row.bubble, row.name == "all attributes"}, h, row.name)
	}
}

func TestWhatIsNoStackHeader(t *testing.T) {
	for _, text := range []string{
		"", "goroutine", "goroutine x [running]:\n", "goroutine 7 running\n", "goroutine 7 []:\n", "main.main()\n\t/tmp/main.go:3 +0x1d\n",
		"goroutine 7 [running, of another kind]:\n", "goroutine 7 [running, synctest bubble x]:\n", "goroutine 7 [running, many minutes]:\n",
		"goroutine 7 [running", "goroutine 7 [running, synctest bubble 3", "goroutine 7 gp=0xc0000021c0",
	} {
		h, ok := readHeader(text)
		require.False(t, ok, "%q: %v", text, h)
	}
}

// Labels that need no quotes, that look like the end of a header, and that fill the buffer into
// which a goroutine prints its own.
func TestLabelledGoroutinesAreFound(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1") // the default of a module whose go line is 1.27
	for _, label := range []string{"x", "], synctest bubble 7]:\n\n", strings.Repeat("long", 1000)} {
		pprof.Do(t.Context(), pprof.Labels("job", label), func(context.Context) {
			Test(t, func(t *testing.T, n *Network) {
				self, bubble := thisGoroutine()
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

// labelledWaiter says whether a goroutine of the bubble, other than its own, is in that state.
func labelledWaiter(bubble, self, state string) bool {
	for _, g := range bubbleGoroutines(bubble) {
		if g.id != self && g.state == state && strings.Contains(g.text, "job") {
			return true
		}
	}
	return false
}

// Were instants of a bubble read by a monotonic clock, too, thisBubble would find none.
func TestBubbleIsKnownByItsClock(t *testing.T) {
	require.Empty(t, thisBubble())
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			_, bubble := thisGoroutine()
			require.NotEmpty(t, bubble)
			require.Equal(t, bubble, thisBubble())
			time.Sleep(150 * 365 * 24 * time.Hour)
		}
	})
}

// What a benchmark measures of a test is what a test costs.
func TestBenchmarkIsNobodyElse(t *testing.T) {
	if strings.Contains(stackDump(), ownPackage+".(*weight).") {
		t.Skip("another test has left a ballast behind, so that all stacks are looked at")
	}
	const name = "test.benchtime"
	before := flag.Lookup(name).Value.String()
	require.NoError(t, flag.Set(name, "2x"))
	defer func() { require.NoError(t, flag.Set(name, before)) }()
	testing.Benchmark(func(b *testing.B) { // once for a first look, in a goroutine of its own, then twice
		for range b.N {
			synctest.Test(t, func(t *testing.T) { require.True(t, nobodyInTheProcess(), stackDump()) })
		}
	})
}

// Every test ends with a look at who is left, which is quick if nobody is.
func TestNobodyElseIsSeenQuickly(t *testing.T) {
	if !Exact() && strings.Contains(stackDump(), ownPackage+".(*weight).") {
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

// A goroutine that the runtime has wait in what counts as a system call cannot hold the lock that a frozen test waits for: with -cpuprofile
// such a test would stand still for a minute.
func TestProfilesDoNotStopAFrozenTest(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Skip("the run of the tests is profiled itself: ", err)
	}
	defer pprof.StopCPUProfile()
	for {
		for entry := range strings.SplitSeq(stackDump(), "\n\n") {
			h, ok := readHeader(entry)
			require.True(t, ok, entry)
			if h.state != "syscall" || !strings.Contains(entry, "runtime/pprof.profileWriter(") || strings.Contains(entry, "newProfileBuilder(") {
				continue // newProfileBuilder reads a file at first
			}
			s := lookAt("goroutine 1 [running]:\n\n"+entry, "1")
			require.False(t, s.outside, entry)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// The room for the dump of many goroutines is not kept.
func TestRoomOfALargeDumpIsGivenUp(t *testing.T) {
	end := make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(end)
	for range 10_000 { // with one processor none of them has begun, and those have but two lines
		all.Go(func() { <-end })
	}
	require.Greater(t, len(stackDump()), mostDumpRoom)
	if room := dumpRoom.Load(); room != nil { // of a test beside this one
		require.LessOrEqual(t, len(*room), mostDumpRoom)
	}
}

// As long as a bubble has not made its network the watchdog waits between two looks.
func TestWatchdogWaitsForTheNetwork(t *testing.T) {
	w := clockWatch{d: &watchdog{run: newBubbleRun(t)}}
	require.True(t, w.watch())
	require.GreaterOrEqual(t, w.pause, looksOften)
}
