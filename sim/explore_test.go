package sim_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A mistake is a program that a single fault can break. It has a sound version, and want lists the breakages that show the
// mistake.
type mistake struct {
	run  func(t *testing.T, n *sim.Network, sound bool)
	want []string
}

// TestExploreConvicts finds the mistakes. They are victims: they fail in processes of their own.
var mistakes = map[string]mistake{
	// The shop asks again when it gets no answer, although the bank may have done the work. It shows when the connection is reset or the bank
	// crashes once the request has arrived, or when the shop crashes, with its connections, between request and answer.
	"pays twice": {pays, []string{
		"ReceiverCrashesAfter bank shop SYNACK 1", // at once the request is out
		"SenderCrashesAfter shop bank Data 1",
		"ConnectionReset bank shop PureACK 1", // acknowledges the request
		"ReceiverCrashesBefore bank shop PureACK 1",
		"ConnectionReset bank shop Data 1", // is the answer
		"SenderCrashesBefore bank shop Data 1",
		"ReceiverCrashesBefore bank shop Data 1",
		"SenderCrashesBefore shop bank PureACK 2", // acknowledges the answer, before the program has read it
		"SenderCrashesAfter shop bank PureACK 2",
	}},
	// A meter adds up the numbers that it gets by UDP.
	"counts a copy": {counts, []string{"Duplicated sensor meter UDP 1", "Duplicated sensor meter UDP 2", "Duplicated sensor meter UDP 3"}},
	// A meter takes the reading that arrived last for the newest.
	"believes the last": {believes, []string{"Overtaken sensor meter UDP 1", "Overtaken sensor meter UDP 2"}},
	// The question is sent once. Nobody asks again if it or its answer is lost, or if the meter is down.
	"asks once": {asks, []string{
		"Lost sensor meter UDP 1", "SenderCrashesBefore sensor meter UDP 1", "SenderCrashesAfter sensor meter UDP 1", "ReceiverCrashesBefore sensor meter UDP 1",
		"DisconnectedForASecond sensor meter UDP 1", "DisconnectedForAMinute sensor meter UDP 1", "Disconnected sensor meter UDP 1",
		"Lost meter sensor UDP 1", "SenderCrashesBefore meter sensor UDP 1", "ReceiverCrashesBefore meter sensor UDP 1",
		"DisconnectedForASecond meter sensor UDP 1", "DisconnectedForAMinute meter sensor UDP 1", "Disconnected meter sensor UDP 1",
	}},
	// The answer is sent at 10 ms, as soon as the request arrives, but the order is on disk only 10 ms later. The ACK of the handshake
	// arrives together with the request.
	"answers too early": {answers, []string{
		"ReceiverCrashesAfter shop bank PureACK 1", "ReceiverCrashesAfter shop bank Data 1", "SenderCrashesAfter bank shop Data 1",
	}},
}

func pays(t *testing.T, n *sim.Network, sound bool) {
	bank, shop := n.Host("bank"), n.Host("shop")
	n.Link(bank, shop, netem.Config{Delay: 40 * ms})
	var mu sync.Mutex
	charged, known := 0, map[string]bool{}
	bank.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if key := r.Header.Get("Idempotency-Key"); key == "" || !known[key] {
			charged++
			known[key] = true
		}
	}))
	client := shop.HTTPClient()
	client.Timeout = 5 * time.Second
	for range 2 {
		req, err := http.NewRequest("POST", "http://bank/pay", strings.NewReader("5"))
		require.NoError(t, err)
		if sound {
			req.Header.Set("Idempotency-Key", "order-1")
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			break
		}
		time.Sleep(2 * time.Second)
	}
	t.Log("so much for the order")
	mu.Lock()
	defer mu.Unlock()
	if charged > 1 {
		t.Errorf("charged %d times", charged)
	}
}

// meter runs a program on the host meter that passes each datagram to take. It returns a connection to it from the host sensor, and the lock under which take runs.
func meter(t *testing.T, n *sim.Network, take func(text string) (answer string)) (net.Conn, *sync.Mutex) {
	mu := new(sync.Mutex)
	h, sensor := n.Host("meter"), n.Host("sensor")
	n.Link(sensor, h, netem.Config{Delay: 5 * ms})
	h.Run("meter", func(ctx context.Context, h *sim.Host) error {
		pc, err := h.ListenPacket("udp", ":9")
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { pc.Close() })
		for p := make([]byte, 100); ; {
			k, from, err := pc.ReadFrom(p)
			if err != nil {
				return nil
			}
			mu.Lock()
			answer := take(string(p[:k]))
			mu.Unlock()
			if answer != "" {
				pc.WriteTo([]byte(answer), from)
			}
		}
	})
	c, err := sensor.Dial("udp", "meter:9")
	require.NoError(t, err)
	return c, mu
}

func counts(t *testing.T, n *sim.Network, sound bool) {
	sum, known := 0, map[string]bool{}
	c, mu := meter(t, n, func(text string) string {
		if !sound || !known[text] {
			sum++
		}
		known[text] = true
		return ""
	})
	for i := range 3 {
		fmt.Fprint(c, i)
		time.Sleep(100 * ms)
	}
	mu.Lock()
	defer mu.Unlock()
	require.LessOrEqual(t, sum, 3)
}

func believes(t *testing.T, n *sim.Network, sound bool) {
	last, back := "", false
	c, mu := meter(t, n, func(text string) string {
		if !sound || text > last {
			back = back || text < last
			last = text
		}
		return ""
	})
	for i := range 3 {
		fmt.Fprint(c, i)
		time.Sleep(100 * ms)
	}
	mu.Lock()
	defer mu.Unlock()
	if back {
		t.Error("the reading went back")
	}
}

func asks(t *testing.T, n *sim.Network, sound bool) {
	answered := false
	c, _ := meter(t, n, func(text string) string { return "yes" })
	for tries := 0; !answered && (tries == 0 || sound && tries < 100); tries++ {
		fmt.Fprint(c, "?")
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err := c.Read(make([]byte, 10))
		if answered = err == nil; !answered {
			time.Sleep(time.Second)
		}
	}
	if !answered {
		t.Error("no answer")
	}
}

func answers(t *testing.T, n *sim.Network, sound bool) {
	bank, shop := n.Host("bank"), n.Host("shop")
	n.Link(bank, shop, netem.Config{Delay: 5 * ms})
	var onDisk atomic.Bool
	told := false
	bank.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write := func() {
			select {
			case <-time.After(10 * ms):
				onDisk.Store(true)
			case <-r.Context().Done(): // a crash
			}
		}
		if sound {
			write()
		}
		io.WriteString(w, "noted")
		w.(http.Flusher).Flush()
		if !sound {
			write()
		}
	}))
	if resp, err := shop.HTTPClient().Get("http://bank/"); err == nil {
		told = resp.StatusCode == 200
		resp.Body.Close()
	}
	time.Sleep(time.Second)
	if told && !onDisk.Load() {
		t.Error("what was told is not on disk")
	}
}

// TestVictimExplored explores the programs above, with their mistakes.
func TestVictimExplored(t *testing.T) {
	victim(t)
	for _, name := range slices.Sorted(maps.Keys(mistakes)) {
		m := mistakes[name]
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			sim.Explore(t, sim.Exploration{}, func(t *testing.T, n *sim.Network) { m.run(t, n, false) })
		})
	}
}

// Explore finds no failure in the programs without the mistake.
func TestExploreAcquits(t *testing.T) {
	for i, name := range []string{"pays twice", "counts a copy", "believes the last", "answers too early"} {
		if leftOutUnderRace(i) {
			continue
		}
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			sim.Explore(t, sim.Exploration{}, func(t *testing.T, n *sim.Network) { mistakes[name].run(t, n, true) })
		})
	}
	t.Run("asks-once", func(t *testing.T) { // whoever is cut off for ever gets no answer, and a client that has crashed asks no more
		sim.Explore(t, sim.Exploration{
			Where: func(what sim.Breakage, at sim.Place) bool {
				return what != sim.Disconnected && !(at.From == "sensor" && (what == sim.SenderCrashesBefore || what == sim.SenderCrashesAfter)) &&
					!(at.To == "sensor" && (what == sim.ReceiverCrashesBefore || what == sim.ReceiverCrashesAfter))
			},
		}, func(t *testing.T, n *sim.Network) { asks(t, n, true) })
	})
}

// twoParts sends the two parts of an order as datagrams, each twice, with a second between the copies. The receiver needs both parts. It takes at
// least two losses to lose one.
func twoParts(t *testing.T, n *sim.Network) {
	got := map[string]bool{}
	c, mu := meter(t, n, func(text string) string {
		got[text] = true
		return ""
	})
	for range 2 {
		fmt.Fprint(c, "goods")
		time.Sleep(500 * ms)
		fmt.Fprint(c, "address")
		time.Sleep(500 * ms)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) < 2 {
		t.Errorf("%d parts", len(got))
	}
}

// TestVictimPairs needs two losses.
func TestVictimPairs(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost, sim.Duplicated}, Pairs: 5}, twoParts)
}

// The packets are goods (1), address (2), goods (3), address (4). No single breakage fails. Explore first tries pairs with the next packet, none of
// which fails. Then it tries pairs with the packet after the next. Two of these fail: the ones that lose both copies of a part.
func TestExploreTriesPairs(t *testing.T) {
	out, failed := outputOf(t, "TestVictimPairs")
	require.False(t, failed, out)
	require.Contains(t, out, "Tried 8 of 8 breakages at 4 packets, and 5 of ")
	require.Contains(t, out, "sim: Explore: no run failed. ")
	out, failed = outputOf(t, "TestVictimManyPairs")
	require.True(t, failed, out)
	requireInOrder(t, out, "2 of 20 runs failed, in 1 way.",
		`The datagram of 5 bytes from sensor to meter at 0s was lost, and the datagram of 5 bytes from sensor to meter at 1s was lost; explore_test.go:`, ": 1 parts.",
		"n.Inject(0, 0, sim.Break(n, sim.Lost, sim.Place{From: \"sensor\", To: \"meter\", Kind: sim.UDP, Nth: 1}))",
		"n.Inject(0, 0, sim.Break(n, sim.Lost, sim.Place{From: \"sensor\", To: \"meter\", Kind: sim.UDP, Nth: 3}))",
		"SQUALL_EXPLORE='Lost sensor meter UDP 1, Lost sensor meter UDP 3' SQUALL_SEED=1 "+sim.GoTest(),
		"1 other run failed the same way:", "Lost sensor meter UDP 2, Lost sensor meter UDP 4",
		"Last events")
}

func TestVictimManyPairs(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost, sim.Duplicated}, Pairs: 100}, twoParts)
}

// The command in a report repeats the failure, and a second run of it has the same trace. The expression in the report does the same in a test.
func TestExploreRepeatsAFailure(t *testing.T) {
	const where = "SQUALL_EXPLORE=SenderCrashesBefore bank shop Data 1"
	out, failed := outputOf(t, "TestVictimExplored$/^pays-twice", where)
	require.True(t, failed)
	requireInOrder(t, out, "charged 2 times", "its sender crashes just before: the first of the packets with data from bank to shop",
		"To repeat it: SQUALL_EXPLORE='SenderCrashesBefore bank shop Data 1' SQUALL_SEED=1 "+sim.GoTest(), "a second run of seed 1 had the same trace and failed too")
	require.NotContains(t, out, "sim: Explore:")
	out, failed = outputOf(t, "TestVictimExplored$/^pays-twice", "SQUALL_EXPLORE=Lost bank shop UDP 1")
	require.True(t, failed, out)
	require.Contains(t, out, "0 of 1 breakages happened. The run has no such packet")

	for _, wrong := range []string{"Lost", "lost bank shop UDP 1", "Lost bank shop udp 1", "Lost bank shop UDP x", "Lost bank shop UDP 0", "Lost bank shop UDP 1,"} {
		out, failed = outputOf(t, "TestVictimExplored$/^pays-twice", "SQUALL_EXPLORE="+wrong)
		require.True(t, failed)
		require.Contains(t, out, "sim: SQUALL_EXPLORE="+wrong+": ")
	}
}

var leftBehind int

// TestVictimThatLeaves sends more in each run than in the run before. TestVictimThatDies panics on a goroutine of its own if
// its second datagram is lost.
func TestVictimThatLeaves(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost}}, func(t *testing.T, n *sim.Network) {
		c, _ := meter(t, n, func(text string) string { return "" })
		leftBehind++
		c.Write(make([]byte, leftBehind))
		time.Sleep(time.Second)
		c.Write([]byte("x"))
		time.Sleep(time.Second)
	})
}

func TestVictimThatDies(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost}}, func(t *testing.T, n *sim.Network) {
		got := 0
		c, mu := meter(t, n, func(text string) string { got += len(text); return "" })
		for _, text := range []string{"a", "bb", "cccc"} {
			c.Write([]byte(text))
		}
		time.Sleep(time.Second)
		done := make(chan bool)
		go func() {
			mu.Lock()
			defer mu.Unlock()
			if got == 5 {
				panic("a part is missing")
			}
			close(done)
		}()
		<-done
	})
}

// Explore reports a run that depends on the runs before it. If a process dies, the run in it has failed, and Explore goes on with the other runs.
func TestExploreNoticesWhatIsWrong(t *testing.T) {
	out, failed := outputOf(t, "TestVictimThatLeaves")
	require.True(t, failed)
	requireInOrder(t, out, "no run failed. Tried 2 of 2 breakages", "the test does not repeat: 1 of 2 runs differed from the run without breakages", "Lost sensor meter UDP 2", "docs/replay.md")

	out, failed = outputOf(t, "TestVictimThatDies")
	require.True(t, failed)
	requireInOrder(t, out, "1 of 3 runs failed", "3 of 3 breakages at 3 packets", "The datagram of 2 bytes from sensor to meter at 0s was lost; ",
		"SQUALL_EXPLORE='Lost sensor meter UDP 2'", "panic: a part is missing")
	require.Regexp(t, `^explore_test\.go:\d+: sim: Explore: panic: a part is missing`, failure.Cause(out), "sweeps group by it")
}

// TestVictimLater sends a datagram at 0, 100 and 200 ms, and counts every copy.
func TestVictimLater(t *testing.T) {
	victim(t)
	x := sim.Exploration{After: 100 * ms, Kinds: []sim.Breakage{sim.Lost, sim.Duplicated}, Where: func(what sim.Breakage, at sim.Place) bool { return at.Nth != 3 }}
	sim.Explore(t, x, func(t *testing.T, n *sim.Network) { counts(t, n, false) })
}

// TestVictimFew tries some of its 30 breakages.
func TestVictimFew(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Runs: 5}, func(t *testing.T, n *sim.Network) { counts(t, n, true) })
}

// If there are more breakages than Runs, Explore leaves some out, evenly. It tries nothing where After, Kinds or Where exclude it.
func TestExploreWithinABudget(t *testing.T) {
	out, failed := outputOf(t, "TestVictimFew")
	require.False(t, failed, out)
	require.Contains(t, out, "Tried 5 of 30 breakages at 3 packets in ")
	out, failed = outputOf(t, "TestVictimLater")
	require.True(t, failed, out)
	requireInOrder(t, out, "sim: Explore: 1 of 2 runs failed, in 1 way. Tried 2 of 2 breakages at 3 packets in ", "SQUALL_EXPLORE='Duplicated sensor meter UDP 2'")
	for _, row := range []struct {
		x    sim.Exploration
		want string
	}{
		{sim.Exploration{Runs: -1}, "sim: Explore: Exploration.Runs is -1: it must be 0 or more"},
		{sim.Exploration{After: -1}, "sim: Explore: Exploration.After is -1ns: it must be 0 or more"},
		{sim.Exploration{Pairs: -2}, "sim: Explore: Exploration.Pairs is -2: it must be 0 or more"},
		{sim.Exploration{Kinds: []sim.Breakage{sim.Lost, 99}}, "sim: Explore: Exploration.Kinds has 99: they must be constants from Lost to Disconnected"},
	} {
		require.PanicsWithValue(t, row.want, func() { sim.Explore(t, row.x, nil) })
	}
}

var failedRuns = regexp.MustCompile(`(?m)^\s+(?:SQUALL_EXPLORE='([^']*)' .*|(\w+ \w+ \w+ \w+ \d+))$`)

// Explore finds each mistake, at exactly the packets where it shows.
func TestExploreConvicts(t *testing.T) {
	if os.Getenv("SQUALL_VICTIM") != "" {
		t.Skip("in a victim")
	}
	t.Parallel()
	for name, m := range mistakes {
		out, failed := outputOf(t, "TestVictimExplored$/^"+strings.ReplaceAll(name, " ", "-"))
		require.True(t, failed, name)
		var got []string
		for _, m := range failedRuns.FindAllStringSubmatch(out, -1) {
			if found := m[1] + m[2]; len(got) == 0 || found != got[0] { // the report of the network repeats it
				got = append(got, found)
			}
		}
		require.Equal(t, m.want, got, "%s:\n%s", name, out)
	}
}

// In exact mode, runs of Explore are scheduled like runs of Test. This also holds for its workers, which ran nothing before.
func TestExploreIsScheduledAsTestIs(t *testing.T) {
	sim.NeedExact(t)
	t.Setenv("SQUALL_CHECK", "") // its second process has the variable of the first, and may have another order
	const variable = "SQUALL_TEST_ORDER"
	order := func() string {
		var text strings.Builder
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprint(&text, i)
			})
		}
		all.Wait()
		return text.String()
	}
	if os.Getenv(variable) == "" { // no worker
		var want string
		require.NoError(t, sim.Try(t, func(*sim.Network) error { want = order(); return nil }))
		t.Setenv(variable, want)
	}
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost}}, func(t *testing.T, n *sim.Network) {
		require.Equal(t, os.Getenv(variable), order())
		n.Host("meter")
		c, err := n.Host("sensor").Dial("udp", "meter:9")
		require.NoError(t, err)
		c.Write([]byte("1"))
		time.Sleep(ms)
	})
}

// A test can call Explore twice. Workers of the second call run the first call's function once, without exploring it again. A single seed in
// SQUALL_SEEDS is a subtest, as with Test, and squall sweep knows it by that name.
func TestExploreTwice(t *testing.T) {
	const variable = "SQUALL_TEST_RUNS"
	first := os.Getenv(variable) == ""
	if first {
		t.Setenv(variable, t.TempDir())
		t.Setenv("SQUALL_SEED", "")
		t.Setenv("SQUALL_SEEDS", "7-7")
	}
	for call := range 2 {
		sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Lost}}, func(t *testing.T, n *sim.Network) {
			if call == 0 {
				_, err := os.MkdirTemp(os.Getenv(variable), "run")
				require.NoError(t, err)
			}
			if first {
				require.Equal(t, "TestExploreTwice/seed=7", strings.Split(t.Name(), "#")[0])
			}
			counts(t, n, true)
		})
	}
	if first {
		runs, err := os.ReadDir(os.Getenv(variable))
		require.NoError(t, err)
		// Here, in the first call's worker, there with each of 3 packets lost, and in the second call's worker.
		require.Len(t, runs, 1+1+3+1)
	}
}
