package stacks

import (
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
		h, ok := ReadHeader(row.header)
		require.True(t, ok, row.name)
		require.Equal(t, Header{row.id, row.state, row.bubble, row.name == "all attributes"}, h, row.name)
	}
}

func TestWhatIsNoStackHeader(t *testing.T) {
	for _, text := range []string{
		"", "goroutine", "goroutine x [running]:\n", "goroutine 7 running\n", "goroutine 7 []:\n", "main.main()\n\t/tmp/main.go:3 +0x1d\n",
		"goroutine 7 [running, of another kind]:\n", "goroutine 7 [running, synctest bubble x]:\n", "goroutine 7 [running, many minutes]:\n",
		"goroutine 7 [running", "goroutine 7 [running, synctest bubble 3", "goroutine 7 gp=0xc0000021c0",
	} {
		h, ok := ReadHeader(text)
		require.False(t, ok, "%q: %v", text, h)
	}
}

// Were instants of a bubble read by a monotonic clock, too, ThisBubble would find none.
func TestBubbleIsKnownByItsClock(t *testing.T) {
	require.Empty(t, ThisBubble())
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			_, bubble := This()
			require.NotEmpty(t, bubble)
			require.Equal(t, bubble, ThisBubble())
			time.Sleep(150 * 365 * 24 * time.Hour)
		}
	})
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
	require.Greater(t, len(Dump()), mostDumpRoom)
	if room := dumpRoom.Load(); room != nil { // of a test beside this one
		require.LessOrEqual(t, len(*room), mostDumpRoom)
	}
}
