package unchanged

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/workload"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// alike runs a story several times with one seed and compares what came of it, and each packet. The first run of
// a process is left out: libraries fill package variables in it. SQUALL_UNCHANGED=200 has 200 runs instead of 2.
func alike(t *testing.T, story func(n *sim.Network) (outcome string, err error)) {
	t.Helper()
	compare(t, func(tr *sim.Trace) uint64 { return tr.Hash() }, story)
}

// alikeButPayloads is alike for a library that keeps in a package variable what it then sends, a counter or random bytes for later: only in
// another process are the payloads the same.
func alikeButPayloads(t *testing.T, story func(n *sim.Network) (outcome string, err error)) {
	t.Helper()
	compare(t, workload.Packets, story)
}

func compare(t *testing.T, hash func(*sim.Trace) uint64, story func(n *sim.Network) (outcome string, err error)) {
	t.Helper()
	needExact(t)
	runs := 2
	if text := os.Getenv("SQUALL_UNCHANGED"); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		require.NoError(t, err, "SQUALL_UNCHANGED is the number of runs")
	}
	var first string
	for i := range runs + 1 {
		var got string
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			outcome, err := story(n)
			got = fmt.Sprintf("%s, trace %x", outcome, hash(n.Trace()))
			return err
		}))
		switch {
		case i == 1:
			first = got
			t.Log(first)
		case i > 1:
			require.Equal(t, first, got, "run %d", i)
		}
	}
}

// A caller makes calls on a server.
type caller struct {
	call  func(ctx context.Context) error
	close func()
}

// ordinary is a story of a server on the host "server", which serve runs until ctx ends, and a client on another
// one, which calls each second for up to 800 ms. They are cut off from each other from 5.5 to 10.5 s, and the server
// crashes at 15.5 s and is back at 18.5 s. The calls before must have been answered, not those meanwhile, and the last
// ones again. The outcome has a letter for each call.
func ordinary(n *sim.Network, serve func(ctx context.Context) error, dial func() (caller, error)) (string, error) {
	server, client := n.Host("server"), n.Host("client")
	n.Link(server, client, netem.Config{Delay: 10 * time.Millisecond})
	server.Run("server", func(ctx context.Context, _ *sim.Host) error {
		err := serve(ctx)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	})
	n.After(5500*time.Millisecond, func() { n.Partition([]*sim.Host{server}, []*sim.Host{client}) })
	n.After(10500*time.Millisecond, n.Heal)
	n.After(15500*time.Millisecond, server.Crash)
	n.After(18500*time.Millisecond, server.Restart)
	calls := bytes.Repeat([]byte("."), 40) // by the second in which they began
	var failed, last error
	<-client.Go(func() {
		time.Sleep(time.Second)
		c, err := dial()
		if err != nil {
			failed = err
			return
		}
		defer c.close()
		for second := 2; second < len(calls); {
			time.Sleep(time.Duration(second)*time.Second - n.Elapsed())
			ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
			calls[second] = 'y'
			if err := c.call(ctx); err != nil {
				calls[second], last = '-', err
			}
			cancel()
			second = int(n.Elapsed()/time.Second) + 1 // one that took its time leaves seconds out
		}
	})
	got := string(calls)
	var wrong string
	switch {
	case failed != nil:
		return got, failed
	case got[2:6] != "yyyy":
		wrong = "those until 5 s answered"
	case strings.Contains(got[6:10], "y"):
		wrong = "none answered from 6 to 9 s"
	case strings.Contains(got[16:18], "y"):
		wrong = "none answered from 16 to 17 s"
	case !strings.HasSuffix(got, "yyyyy"):
		wrong = "the last five answered"
	default:
		return got, nil
	}
	return got, fmt.Errorf("calls by the second: %s: want %s; the last error: %w", got, wrong, last)
}
