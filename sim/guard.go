package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/stacks"
)

// guard runs f, which the network calls on a goroutine of its own for the program; who describes it. In a
// bubble a panic of f fails the test, with f's name and stack, and ends the network. Outside a bubble it ends
// the process, as it would without the network. runtime.Goexit also fails the test, unless the program is at
// its end anyway: t.FailNow leaves by it, and only the goroutine of the test may call that.
func (n *Network) guard(who func() string, over func() bool, f func()) {
	returned := false
	defer func() {
		p := recover()
		switch {
		case p != nil && !n.clock.virtual:
			fmt.Fprintf(os.Stderr, "sim: %s panics at %v\n", who(), n.Elapsed())
			panic(p)
		case p != nil:
			n.panicked(who(), p, panicStack())
		case !returned && n.clock.virtual && !over():
			n.failed(who() + " ended by runtime.Goexit, which t.FailNow, t.Fatal and the functions of require call. " +
				"Only the goroutine of the test may call them: return an error instead")
		}
	}()
	f()
	returned = true
}

// panicked fails the test because of a panic outside the test's goroutine, and ends the network: the program
// is dead, as a process would be.
func (n *Network) panicked(who string, what any, stack string) {
	cause := fmt.Sprint(what)
	note := firstLine(who + " panics: " + cause)
	n.do(func() {
		head := fmt.Sprintf("%s panicked at %v of virtual time: %s", who, n.endedOrNow(), cause)
		then := "The network was already closed."
		if !n.closed {
			then = "This ended the network, so other calls may fail with \"use of closed network connection\"."
			n.note(nil, nil, note)
			n.shutdown("")
		}
		n.log.failures = append(n.log.failures, head+"\n\n"+then+"\n\n"+stack)
	})
}

// failed fails the test.
func (n *Network) failed(what string) {
	n.do(func() {
		if !n.closed {
			n.log.failures = append(n.log.failures, fmt.Sprintf("%s (at %v of virtual time)", what, n.endedOrNow()))
		}
	})
}

// panicStack returns the stack of the panic that a deferred function recovers, without the frames of the
// panic itself and of the network's call.
func panicStack() string {
	head, frames, _ := strings.Cut(string(debug.Stack()), "\n")
	if _, after, ok := strings.Cut(frames, "\npanic("); ok {
		if _, after, ok = strings.Cut(after, "\n\t"); ok {
			_, frames, _ = strings.Cut(after, "\n")
		}
	}
	lines := strings.Split(strings.TrimSpace(frames), "\n")
	for len(lines) > 2 {
		last := lines[len(lines)-2]
		ours := stacks.Frame{Function: last, Where: lines[len(lines)-1]}.Simulator()
		if !ours && !strings.HasPrefix(last, "created by ") && !strings.HasPrefix(last, "testing.tRunner(") {
			break
		}
		lines = lines[:len(lines)-2]
	}
	return head + "\n" + strings.Join(lines, "\n")
}

// endedOrNow returns the time from the start until now, or until the end. The lock is held.
func (n *Network) endedOrNow() time.Duration {
	if n.closed {
		return n.over.at
	}
	return time.Duration(n.now())
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
