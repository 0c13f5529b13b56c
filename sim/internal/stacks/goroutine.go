// Package stacks reads the runtime's stack dumps: which goroutines there are, what each waits for, and where in the
// program under test that is.
package stacks

import (
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// A Goroutine as a stack dump shows it.
type Goroutine struct {
	ID    string
	State string // such as "chan receive (durable)"
	Text  string // the whole entry
}

// A Header is what the first line of a goroutine's stack says.
type Header struct {
	ID, State, Bubble string // bubble: "" for none
	Minutes           bool   // in that state for at least a minute
}

// ReadHeader reads the beginning of a goroutine's stack as far as the bubble. The goroutine's profiler labels
// follow, which hold any text and may be longer than a buffer. Go 1.26 prints them inside the brackets, if
// GODEBUG=tracebacklabels=1 asks for it, and Go 1.27 after them. ReadHeader uses no regular expression, since
// a frozen test makes squall look at all goroutines for each instant.
func ReadHeader(entry string) (h Header, ok bool) {
	rest, _ := strings.CutPrefix(entry, "goroutine ")
	h.ID, rest, _ = strings.Cut(rest, " ")
	if strings.HasPrefix(rest, "gp=") { // GOTRACEBACK=system
		_, rest, _ = strings.Cut(rest, " [")
	} else {
		rest, _ = strings.CutPrefix(rest, "[")
	}
	h.State, rest = cutAttribute(rest)
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
			h.Minutes = true
		case bubbled && isNumber(bubble):
			h.Bubble = bubble
		case attribute != "locked to thread":
			return Header{}, false
		}
	}
	return h, isNumber(h.ID) && h.State != "" && (strings.HasPrefix(rest, "]") || strings.HasPrefix(rest, labelsInside))
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

// InBubble lists the goroutines of a bubble except for those that run it.
func InBubble(bubble string) []Goroutine { return goroutinesOf(Dump(), bubble) }

// Others lists the goroutines of the caller's bubble, except for those that run it and the caller.
func Others() []Goroutine {
	dump := Dump()
	self, rest, _ := strings.Cut(dump, "\n\n") // the dump begins with the caller
	h, ok := ReadHeader(self)
	if !ok {
		panic("sim: cannot parse the runtime's stack dump:\n" + self)
	}
	return goroutinesOf(rest, h.Bubble)
}

func goroutinesOf(dump, bubble string) []Goroutine {
	var all []Goroutine
	mark := "synctest bubble " + bubble
	for entry := range strings.SplitSeq(dump, "\n\n") {
		if !strings.Contains(entry, mark) {
			continue // of another bubble: a quick look, as every test ends with one at all goroutines
		}
		h, ok := ReadHeader(entry)
		if !ok || h.Bubble != bubble || bubble == "" || strings.Contains(entry, "\ntesting/synctest.testingSynctestTest(") ||
			strings.Contains(entry, "\ninternal/synctest.Run(") || strings.Contains(entry, OwnPackage+".(*weight).") ||
			strings.Contains(entry, OwnPackage+".(*ballast).makeWeights(") {
			continue // of another bubble, waiting for the end of this one, or of its ballast
		}
		all = append(all, Goroutine{ID: h.ID, State: h.State, Text: strings.TrimSuffix(entry, "\n")})
	}
	return all
}

// Dump returns the stacks of all goroutines. Every test takes a dump at its end, so the buffer is kept
// if it is not large. It is kept without a lock, since a goroutine that waits for one looks frozen to the
// watchdog.
func Dump() string {
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

// This returns the numbers of the calling goroutine and of its bubble.
func This() (id, bubble string) {
	b := make([]byte, 256)
	head := string(b[:runtime.Stack(b, false)])
	h, ok := ReadHeader(head)
	if !ok {
		panic("sim: cannot parse the runtime's stack dump:\n" + head)
	}
	return h.ID, h.Bubble
}

// ThisBubble returns the number of the calling goroutine's bubble, or "". In a bubble instants have no
// monotonic clock reading: if there is one, the stack need not be read.
func ThisBubble() string {
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
		_, bubble := This()
		number <- bubble
	}()
	return <-number
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
