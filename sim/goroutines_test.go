package sim

import (
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
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
		{"cut off in the labels", "goroutine 9 [running, synctest bubble 3] {job: xxxxxxxx", "9", "running", "3"},
	} {
		m := headerPattern.FindStringSubmatch(row.header)
		require.NotNil(t, m, row.name)
		require.Equal(t, []string{row.id, row.state, row.bubble}, m[1:], row.name)
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
