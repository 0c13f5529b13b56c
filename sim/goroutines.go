package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// A goroutine as a stack dump shows it.
type goroutine struct {
	id    string
	state string // such as "chan receive (durable)"
	text  string // the whole entry
}

// A header is what the first line of a goroutine's stack says.
type header struct {
	id, state, bubble string // bubble: "" for none
	minutes           bool   // it has been in that state for at least one
}

// readHeader reads the beginning of a goroutine's stack as far as the bubble: what follows are the goroutine's profiler labels, which
// hold any text and may be longer than a buffer. Go 1.26 prints them inside the brackets, if GODEBUG=tracebacklabels=1 asks for it,
// and Go 1.27 behind them. It is written out, without a pattern, since a frozen test has all goroutines looked at for each instant.
func readHeader(entry string) (h header, ok bool) {
	rest, _ := strings.CutPrefix(entry, "goroutine ")
	h.id, rest, _ = strings.Cut(rest, " ")
	if strings.HasPrefix(rest, "gp=") { // GOTRACEBACK=system
		_, rest, _ = strings.Cut(rest, " [")
	} else {
		rest, _ = strings.CutPrefix(rest, "[")
	}
	h.state, rest = cutAttribute(rest)
	for {
		var attribute string
		if rest, ok = strings.CutPrefix(rest, ", "); !ok {
			break
		}
		attribute, rest = cutAttribute(rest)
		minutes, waits := strings.CutSuffix(attribute, " minutes")
		bubble, bubbled := strings.CutPrefix(attribute, "synctest bubble ")
		switch {
		case waits && isNumber(minutes):
			h.minutes = true
		case bubbled && isNumber(bubble):
			h.bubble = bubble
		case attribute != "locked to thread":
			return header{}, false
		}
	}
	return h, isNumber(h.id) && h.state != "" && (strings.HasPrefix(rest, "]") || strings.HasPrefix(rest, labelsInside))
}

const labelsInside = " labels:{"

// cutAttribute cuts what is between brackets behind its first attribute.
func cutAttribute(s string) (attribute, rest string) {
	end := strings.IndexAny(s, ",]\n")
	if end < 0 {
		end = len(s)
	}
	if i := strings.Index(s[:end], labelsInside); i >= 0 {
		end = i
	}
	return s[:end], s[end:]
}

// bubbleGoroutines lists the goroutines of a bubble but for those that run it.
func bubbleGoroutines(bubble string) []goroutine { return goroutinesOf(stackDump(), bubble) }

// otherGoroutines lists the goroutines of the bubble of the caller, but for those that run it and
// the caller.
func otherGoroutines() []goroutine {
	dump := stackDump()
	self, rest, _ := strings.Cut(dump, "\n\n") // the runtime begins with the caller
	h, ok := readHeader(self)
	if !ok {
		panic("sim: the runtime's stack dump has a form that is not understood:\n" + self)
	}
	return goroutinesOf(rest, h.bubble)
}

func goroutinesOf(dump, bubble string) []goroutine {
	var all []goroutine
	mark := "synctest bubble " + bubble
	for entry := range strings.SplitSeq(dump, "\n\n") {
		if !strings.Contains(entry, mark) {
			continue // of another bubble: a quick look, as every test ends with one at all goroutines
		}
		h, ok := readHeader(entry)
		if !ok || h.bubble != bubble || bubble == "" || strings.Contains(entry, "\ntesting/synctest.testingSynctestTest(") ||
			strings.Contains(entry, "\ninternal/synctest.Run(") || strings.Contains(entry, ownPackage+".(*weight).") ||
			strings.Contains(entry, ownPackage+".(*ballast).makeWeights(") {
			continue // of another bubble, waiting for the end of this one, or of its ballast
		}
		all = append(all, goroutine{id: h.id, state: h.state, text: strings.TrimSuffix(entry, "\n")})
	}
	return all
}

// stackDump is the stacks of all goroutines. Every test takes one at its end, so the room for
// it is kept, if it is not large; not by a lock, since a goroutine that waits for one looks frozen to the watchdog.
func stackDump() string {
	room := dumpRoom.Swap(nil)
	if room == nil {
		room = new([]byte)
	}
	for {
		if n := runtime.Stack(*room, true); n < len(*room) {
			dump := string((*room)[:n])
			if len(*room) <= mostDumpRoom {
				dumpRoom.Store(room)
			}
			return dump
		}
		*room = make([]byte, max(2*len(*room), 1<<16, runtime.NumGoroutine()<<11))
	}
}

var dumpRoom atomic.Pointer[[]byte] // nil while it is used

// mostDumpRoom is enough for a thousand goroutines. For the dump of a hundred thousand, which the watchdog may ask for, memory would be
// kept as long as the process lives, a kilobyte for each.
const mostDumpRoom = 1 << 20

// thisGoroutine returns the number of the goroutine that calls, and of its bubble.
func thisGoroutine() (id, bubble string) {
	b := make([]byte, 256)
	head := string(b[:runtime.Stack(b, false)])
	h, ok := readHeader(head)
	if !ok {
		panic("sim: the runtime's stack dump has a form that is not understood:\n" + head)
	}
	return h.id, h.bubble
}

// thisBubble returns the number of the bubble of the goroutine that calls, or "". In a bubble instants have no reading of
// a monotonic clock: so who has one need not look at its stack.
func thisBubble() string {
	if exact.Enabled {
		if id := exact.BubbleID(); id != 0 {
			return strconv.FormatUint(id, 10)
		}
		return ""
	}
	if now := time.Now(); now != now.Round(0) {
		return ""
	}
	_, bubble := thisGoroutine()
	return bubble
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// awaitGoroutines lets the clock run until all goroutines of the test have ended,
// for an hour at most, and returns those that have not.
func (n *Network) awaitGoroutines() []goroutine {
	var left []goroutine
	for _, d := range []time.Duration{time.Second, time.Minute, time.Hour} {
		time.Sleep(d)
		if n.nobodyElse() {
			return nil
		}
		if left = otherGoroutines(); len(left) == 0 {
			return nil
		}
	}
	return left
}

// knownRoots are the functions with which goroutines begin that a program in a bubble cannot have started: those of
// package testing, which it must not call there, and of the harness.
var knownRoots = map[string]bool{
	"runtime.main":                         true,
	"testing.tRunner":                      true,
	"testing.(*B).run1.func1":              true, // a benchmark that calls Test
	"testing.(*B).launch":                  true,
	"testing/synctest.Test.func1":          true,
	ownPackage + ".(*bubbleRun).run.func1": true,
	ownPackage + ".newWatchdog.func1":      true,
	ownPackage + ".newWatchdog.func1.1":    true,
	ownPackage + ".(*ballast).makeWeights": true,
}

// nobodyElse says that the bubble of the caller has no goroutine but those that run it. To answer no is always right.
func (n *Network) nobodyElse() bool {
	if exact.Enabled {
		// The scheduler knows. What goroutines there are outside must not decide what is looked at, which is part of the schedule.
		return n.harness.own > 0 && exact.Goroutines() == n.harness.own
	}
	return nobodyInTheProcess()
}

// nobodyInTheProcess says that the process has no goroutine but the known ones, and so the caller's bubble has none but those
// that run it. It costs a tenth of a dump of all stacks, with which every test ended otherwise.
func nobodyInTheProcess() bool {
	all := profileRoom.Swap(nil)
	if all == nil {
		all = new([64]runtime.StackRecord)
	}
	defer profileRoom.Store(all)
	// The runtime makes as much room as it is given. There may be some more goroutines than a moment ago.
	count, ok := runtime.GoroutineProfile(all[:min(runtime.NumGoroutine()+8, len(all))])
	if !ok {
		return false
	}
	for i := range all[:count] {
		if !knownRoots[rootOf(all[i].Stack())] {
			return false
		}
	}
	return true
}

var profileRoom atomic.Pointer[[64]runtime.StackRecord] // nil while it is used

// rootOf is the function with which a goroutine began; for a coroutine, that which was given to iter.Pull; "" if the stack is
// not there as a whole.
func rootOf(stack []uintptr) string {
	last := len(stack) - 1
	if outermost(stack, last) != "runtime.goexit" {
		return ""
	}
	root := outermost(stack, last-1)
	if root == "runtime.corostart" { // below it, a function of iter.Pull's that calls the coroutine's
		root = outermost(stack, last-3)
	}
	return root
}

// outermost is the function of the i-th call of a stack that the others of the call are inlined into; "" if there is no such call.
func outermost(stack []uintptr, i int) string {
	if i < 0 {
		return ""
	}
	if name, ok := callNames.Load(stack[i]); ok {
		return name.(string)
	}
	name := ""
	frames := runtime.CallersFrames(stack[i : i+1])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		name = f.Function
	}
	callNames.Store(stack[i], name)
	return name
}

// callNames are what outermost has found, by the addresses of the calls: every test asks for the same few.
var callNames sync.Map

// stacksOf describes goroutines, those with the same calls once, by the whole stack of the first; at
// most ten.
func stacksOf(gs []goroutine) string {
	const most = 10
	type kind struct {
		goroutine
		calls []frame
		more  int
	}
	var kinds []*kind
	for _, g := range gs {
		calls, creator := g.frames()
		calls = append(calls, creator)
		same := func(k *kind) bool { return k.state == g.state && slices.Equal(k.calls, calls) }
		if i := slices.IndexFunc(kinds, same); i >= 0 {
			kinds[i].more++
		} else {
			kinds = append(kinds, &kind{g, calls, 0})
		}
	}
	var b strings.Builder
	for i, k := range kinds {
		if i == most {
			fmt.Fprintf(&b, "\n... and %s\n", count.Of(len(kinds)-i, "other stack", "other stacks"))
			break
		}
		fmt.Fprintf(&b, "\n%s\n", k.text)
		if k.more > 0 {
			fmt.Fprintf(&b, "... and %s with the same calls\n", count.Of(k.more, "more goroutine", "more goroutines"))
		}
	}
	return b.String()
}

// unreadBodies says which goroutines that are left belong to connections of net/http's client on
// which the body of a response was neither read to its end nor closed, or "".
func unreadBodies(left []goroutine) string {
	unread := 0
	for _, g := range left {
		if calls, _ := g.frames(); strings.HasPrefix(g.state, "select") && len(calls) > 0 && calls[0].function == "net/http.(*persistConn).readLoop" {
			unread++
		}
	}
	if unread == 0 {
		return ""
	}
	return fmt.Sprintf("net/http's client has had %s whose Body was neither closed nor read to its end; readLoop and writeLoop wait for that.\n"+
		"Close the Body of each http.Response.\n", count.Of(unread, "response", "responses"))
}
