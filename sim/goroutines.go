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
	minutes           bool   // in that state for at least a minute
}

// readHeader reads the beginning of a goroutine's stack as far as the bubble. The goroutine's profiler labels
// follow, which hold any text and may be longer than a buffer. Go 1.26 prints them inside the brackets, if
// GODEBUG=tracebacklabels=1 asks for it, and Go 1.27 after them. readHeader uses no regular expression, since
// a frozen test makes squall look at all goroutines for each instant.
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

// cutAttribute cuts what is between brackets after its first attribute.
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

// bubbleGoroutines lists the goroutines of a bubble except for those that run it.
func bubbleGoroutines(bubble string) []goroutine { return goroutinesOf(stackDump(), bubble) }

// otherGoroutines lists the goroutines of the caller's bubble, except for those that run it and the caller.
func otherGoroutines() []goroutine {
	dump := stackDump()
	self, rest, _ := strings.Cut(dump, "\n\n") // the dump begins with the caller
	h, ok := readHeader(self)
	if !ok {
		panic("sim: cannot parse the runtime's stack dump:\n" + self)
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

// stackDump returns the stacks of all goroutines. Every test takes a dump at its end, so the buffer is kept
// if it is not large. It is kept without a lock, since a goroutine that waits for one looks frozen to the
// watchdog.
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

var dumpRoom atomic.Pointer[[]byte] // nil while in use

// mostDumpRoom is enough for a thousand goroutines. A dump of a hundred thousand, which the watchdog may ask
// for, would keep a kilobyte of memory for each as long as the process lives.
const mostDumpRoom = 1 << 20

// thisGoroutine returns the numbers of the calling goroutine and of its bubble.
func thisGoroutine() (id, bubble string) {
	b := make([]byte, 256)
	head := string(b[:runtime.Stack(b, false)])
	h, ok := readHeader(head)
	if !ok {
		panic("sim: cannot parse the runtime's stack dump:\n" + head)
	}
	return h.id, h.bubble
}

// thisBubble returns the number of the calling goroutine's bubble, or "". In a bubble instants have no
// monotonic clock reading: if there is one, the stack need not be read.
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
	// The runtime walks the whole stack, which is short on a goroutine of its own.
	number := make(chan string, 1)
	go func() {
		_, bubble := thisGoroutine()
		number <- bubble
	}()
	return <-number
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// awaitGoroutines lets the clock run until all goroutines of the test have ended, for at most an hour, and
// returns those that remain.
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

// knownRoots are the functions with which goroutines begin that a program in a bubble cannot have started:
// functions of package testing, which it must not call there, and of the harness.
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

// nobodyElse reports whether the caller's bubble has no goroutine but those that run it. False is always a
// safe answer.
func (n *Network) nobodyElse() bool {
	if exact.Enabled {
		// The scheduler knows. The goroutines outside must not decide what is looked at, which is part of the
		// schedule.
		return n.harness.own > 0 && exact.Goroutines() == n.harness.own
	}
	return nobodyInTheProcess()
}

// nobodyInTheProcess reports whether the process has only the known goroutines, so that the caller's bubble
// has none but those that run it. It costs a tenth of the dump of all stacks that would otherwise end every
// test.
func nobodyInTheProcess() bool {
	all := profileRoom.Swap(nil)
	if all == nil {
		all = new([64]runtime.StackRecord)
	}
	defer profileRoom.Store(all)
	// The runtime fills the room that it is given. There may be some more goroutines than a moment ago.
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

var profileRoom atomic.Pointer[[64]runtime.StackRecord] // nil while in use

// rootOf returns the function with which a goroutine began. For a coroutine it is the function given to
// iter.Pull; it is "" if the stack is incomplete.
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

// outermost returns the function at the i-th call of a stack into which the others of that call are inlined,
// or "" if there is no such call.
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

// callNames caches what outermost has found, by the addresses of the calls: every test asks for the same few.
var callNames sync.Map

// stacksOf describes at most ten goroutines. Those with the same calls are listed once, with the whole stack
// of the first.
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

// unreadBodies describes the remaining goroutines that belong to connections of net/http's client on which
// the program neither read the body of a response to its end nor closed it, or returns "".
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
	return fmt.Sprintf("net/http's client got %s whose Body was neither closed nor read to its end; readLoop and writeLoop wait for that.\n"+
		"Close the Body of each http.Response.\n", count.Of(unread, "response", "responses"))
}
