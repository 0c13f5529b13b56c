package stacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parked is the stack of a goroutine whose innermost calls come first.
func parked(id, state string, calls ...string) Goroutine {
	text := "goroutine " + id + " [" + state + "]:\n"
	for _, c := range calls {
		text += c + "(0x1)\n\t/src/shop/shop.go:7 +0x1d\n"
	}
	return Goroutine{ID: id, State: state, Text: text + "created by example.com/shop.Open in goroutine 1\n\t/src/shop/open.go:3 +0x2b\n"}
}

func TestCallsOfAStack(t *testing.T) {
	g := parked("7", "chan receive", "example.com/shop.(*Store).get", "example.com/shop.Serve")
	calls, creator := g.Frames()
	require.Equal(t, []Frame{{"example.com/shop.(*Store).get", "/src/shop/shop.go:7"}, {"example.com/shop.Serve", "/src/shop/shop.go:7"}}, calls)
	require.Equal(t, Frame{"example.com/shop.Open", "/src/shop/open.go:3"}, creator)
	require.Equal(t, "shop.(*Store).get", calls[0].Short())
	require.True(t, calls[0].Program())
	require.True(t, Frame{Function: OwnPackage + ".(*Network).step", Where: "/src/sim/engine.go:1"}.Simulator())
	require.True(t, Frame{Function: OwnPackage + "/internal/tcp.(*Conn).Input", Where: "/src/sim/internal/tcp/input.go:1"}.Simulator())
	require.False(t, Frame{Function: OwnPackage + ".TestX", Where: "/src/sim/x_test.go:1"}.Simulator(), "a test of it")
	require.False(t, Frame{Function: OwnPackage + "ilar.F", Where: "/src/similar/f.go:1"}.Simulator())
	require.Equal(t, "1", g.StartedBy())
	require.Empty(t, Goroutine{Text: "goroutine 1 [running]:\nmain.main()\n\t/src/main.go:3\n"}.StartedBy())
	call, by, ok := parked("7", "IO wait", "example.com/shop.Serve").Enters()
	require.True(t, ok)
	require.Equal(t, "the program", call)
	require.Equal(t, "example.com/shop.Serve", by.Function)
}

// Goroutines that are at one place are listed once, and a crowd comes last.
func TestGoroutinesAreListedByWhereTheyAre(t *testing.T) {
	gs := []Goroutine{
		parked("5", "select", "example.com/shop.wait"), parked("6", "select", "example.com/shop.wait"),
		parked("7", "chan receive (durable)", OwnPackage+".(*TCPConn).Read", "example.com/shop.read"),
	}
	gs[2].Text = strings.Replace(gs[2].Text, "/src/shop/shop.go:7", "/src/sim/conn.go:9", 1)
	require.Equal(t, "  goroutine 7: TCPConn.Read\n      shop.read\n          /src/shop/shop.go:7\n"+
		"      started by shop.Open\n          /src/shop/open.go:3\n"+
		"  goroutine 5 and 1 more: select\n      shop.wait\n          /src/shop/shop.go:7\n      started by shop.Open\n          /src/shop/open.go:3\n", Describe(gs))
	require.Contains(t, Whole(gs), "\n... and 1 more goroutine with the same calls\n")
	require.Empty(t, Describe(nil))
	require.NotContains(t, Whole([]Goroutine{gs[0], parked("8", "select", "example.com/shop.other"), parked("9", "chan send", "example.com/shop.wait")}), "same calls")
}

// A goroutine without calls of the program is where it entered the standard library.
func TestGoroutinesOfTheStandardLibrary(t *testing.T) {
	g := parked("5", "IO wait", "runtime.gopark", "internal/poll.(*FD).Read", "net/http.(*persistConn).readLoop", "runtime.goexit")
	g.Text = strings.ReplaceAll(g.Text, "/src/shop/shop.go", goRoot+"net/http/transport.go")
	require.Equal(t, "  goroutine 5: IO wait\n      http.(*persistConn).readLoop\n          "+goRoot+"net/http/transport.go:7\n"+
		"      started by shop.Open\n          /src/shop/open.go:3\n", Describe([]Goroutine{g}))
}

// Of a goroutine that waits for a lock, the likely holder is one that waits for something else in a method of the same type.
func TestWhoMayHoldALock(t *testing.T) {
	wants := parked("5", "sync.Mutex.Lock", "sync.(*Mutex).Lock", "example.com/shop.(*Store).put")
	require.True(t, wants.Locked())
	require.Equal(t, "example.com/shop.(*Store).put", wants.Locker().Function)
	holds := parked("6", "chan send", "example.com/shop.(*Store).get")
	other := parked("7", "chan send", "example.com/shop.(*Cart).get")
	text := LocksAmong([]Goroutine{wants, holds, other})
	require.Contains(t, text, "Goroutine 5 waits for a lock in shop.(*Store).put (/src/shop/shop.go:7).\nOne of these goroutines, which wait too, probably holds it:\n  goroutine 6: chan send\n")
	require.NotContains(t, text, "goroutine 7")
	require.Contains(t, LocksAmong([]Goroutine{wants, other}), "No other goroutine is likely to hold it")
	require.Empty(t, LocksAmong([]Goroutine{other}))
	require.False(t, parked("8", "sync.Cond.Wait (durable)", "sync.(*Cond).Wait").Locked())
}

func TestBodiesThatNobodyReads(t *testing.T) {
	loop := parked("5", "select", "net/http.(*persistConn).readLoop")
	require.Contains(t, UnreadBodies([]Goroutine{loop, parked("6", "select", "net/http.(*persistConn).writeLoop")}), "got 1 response whose Body")
	require.Empty(t, UnreadBodies([]Goroutine{parked("5", "IO wait", "net/http.(*persistConn).readLoop")}))
}
