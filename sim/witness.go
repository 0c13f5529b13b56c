package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// A witness records which goroutines call the network at an instant, or at the last earlier instant at which
// any does: one of them may have sent the first packet in which two runs differ. There is one only in a run
// made for it, when the packet is known.
type witness struct {
	at    int64
	last  int64 // instant of calls
	calls []stacks.Goroutine
}

// replayAt is set for a run with a witness, in nanoseconds.
const replayAt = "SQUALL_REPLAY_AT"

// replayOrdered is set for a run whose witness reports the order of the calls.
const replayOrdered = "SQUALL_REPLAY_ORDERED"

var tellsOrder = takeVariable(replayOrdered) != ""

var witnessedAt, noWitness = strconv.ParseInt(takeVariable(replayAt), 10, 64)

func newWitness() *witness {
	if noWitness != nil {
		return nil
	}
	return &witness{at: witnessedAt, last: -1}
}

// mostWitnessed is how many calls of an instant a witness keeps.
const mostWitnessed = 1000

// see records a call and the goroutine that makes it. The lock is held.
//
//go:norace
func (w *witness) see(now int64) {
	if now > w.at {
		return
	}
	if now != w.last {
		w.last, w.calls = now, w.calls[:0]
	}
	if len(w.calls) == mostWitnessed {
		return
	}
	stack := make([]byte, 1<<14)
	entry := string(stack[:runtime.Stack(stack, false)])
	if h, ok := stacks.ReadHeader(entry); ok {
		w.calls = append(w.calls, stacks.Goroutine{ID: h.ID, State: h.State, Text: entry})
	}
}

// quiet are calls that send nothing and end nothing.
var quiet = []string{
	"Network.Host", "Network.Router", "Network.Link", "Network.LinkAsym", "Network.Elapsed", "Network.Rand", "Network.After", "Network.Trace",
	"Host.Listen", "Host.ListenPacket", "TCPListener.Accept", "Host.Run",
}

// tell describes the calls, or returns "" if there were none.
func (w *witness) tell() string {
	var calls []stacks.Goroutine
	for _, g := range w.calls {
		if (tellsOrder || !slices.Contains(calls, g)) && !slices.Contains(quiet, g.Waits()) {
			calls = append(calls, g)
		}
	}
	list := stacks.Describe(calls)
	if tellsOrder {
		list = describeInOrder(calls)
	}
	switch {
	case list == "":
		return ""
	case w.last == w.at:
		return "Network calls at that instant, in another run:\n" + list
	default:
		return fmt.Sprintf("Another run made no network call at that instant; its last ones before, at %v:\n%s", time.Duration(w.last), list)
	}
}

// describeInOrder lists calls, a line each: at most 12.
func describeInOrder(calls []stacks.Goroutine) string {
	const most = 12
	var b strings.Builder
	for i, g := range calls {
		if i == most {
			fmt.Fprintf(&b, "  ... and %s\n", count.Of(len(calls)-i, "more call", "more calls"))
			break
		}
		fmt.Fprintf(&b, "  %d. %s", i+1, g.Waits())
		frames, made := g.Frames()
		frames = slices.DeleteFunc(frames, func(f stacks.Frame) bool { return !f.Program() })
		for i, f := range frames {
			switch i {
			case 0:
				fmt.Fprintf(&b, " by %s (%s)", f.Short(), f.Where)
			case len(frames) - 1: // where the goroutine begins
				fmt.Fprintf(&b, ", for %s (%s)", f.Short(), f.Where)
			}
		}
		if made.Function != "" && made.Program() {
			fmt.Fprintf(&b, ", started at %s", made.Where)
		}
		b.WriteString("\n")
	}
	return b.String()
}
