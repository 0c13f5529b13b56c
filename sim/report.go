package sim

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
)

// report returns what a failed test prints about its network.
func (n *Network) report(command string) string {
	return n.look(func(at time.Duration) string { return n.reportAt(at, command) })
}

// look returns text from a look at the network, with the instant at which it has ended or is. It also works
// for a bubble that was abandoned.
func (n *Network) look(f func(at time.Duration) string) (found string) {
	if n.harness.dead.Load() {
		n.peek(func() { found = f(n.lastSeen()) })
		return found
	}
	return text(n, func() string { return f(n.endedOrNow()) })
}

// reportAt is report as of an instant. The lock is held.
func (n *Network) reportAt(at time.Duration, command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sim: at %v of virtual time, seed %d, %d events, trace %016x\n\n", at, n.seed, n.log.trace.total, n.log.trace.sum())
	b.WriteString(n.log.trace.chart(chartEvents, n.wires.links))
	lasting, past := n.happenedLocked()
	if len(lasting) > 0 {
		fmt.Fprintf(&b, "\nActive at the end: %s\n", shortList(lasting, 8))
	}
	if len(past) > 0 {
		fmt.Fprintf(&b, "\nEnded, latest first: %s\n", shortList(past, 8))
	}
	if !n.conf.strict { // otherwise the test has failed because of them
		for _, remark := range n.remarksLocked() {
			b.WriteString("\n" + remark + "\n")
		}
	}
	fmt.Fprintf(&b, "\nTo repeat it: %s\n", command)
	return b.String()
}

// remarks returns what is noteworthy even about a test that passes.
func (n *Network) remarks() string {
	return n.look(func(time.Duration) string { return strings.Join(n.remarksLocked(), "\n") })
}

func (n *Network) remarksLocked() (all []string) {
	if idle := n.idleFaultsLocked(); idle != "" {
		all = append(all, idle)
	}
	if faults := len(n.log.faults); n.conf.faults.most() > faults {
		all = append(all, fmt.Sprintf("%s=%s: the test made only %s", faultsVariable, os.Getenv(faultsVariable), count.Of(faults, "fault", "faults")))
	}
	if len(n.log.strays) > 0 {
		all = append(all, "The test used the operating system's own network, which differs between computers:\n  "+strings.Join(n.log.strays, "\n  "))
	}
	if len(n.log.unheard) > 0 {
		text := "Multicast did not reach these members of its group. They are not on the sender's network segment, and routers do not forward multicast:"
		for _, u := range n.log.unheard {
			text += fmt.Sprintf("\n  %v from %s to %s", u.group, u.from.name, u.to.name)
		}
		all = append(all, text)
	}
	return all
}

// happenedLocked names the faults that are active, and since when. It also names those that are over and have
// met something, and when they were last active: the chart shows only the end of a test. Faults that are
// parts of others are named with those.
func (n *Network) happenedLocked() (lasting, past []string) {
	parts := n.partsOfFaults()
	var over []*Fault
	for _, f := range n.log.faults {
		switch {
		case parts[f]:
		case f.state == faultLasts:
			lasting = append(lasting, fmt.Sprintf("%s (since %v)", f.Name(), f.spell.begun))
		case f.state == faultOver && f.firings().Count > 0:
			over = append(over, f)
		}
	}
	slices.SortStableFunc(over, func(a, b *Fault) int { return cmp.Compare(b.spell.over, a.spell.over) })
	for _, f := range over {
		past = append(past, fmt.Sprintf("%s (%v to %v, fired %s)", f.Name(), f.spell.begun, f.spell.over, timesOf(int(f.firings().Count))))
	}
	return lasting, past
}

// partsOfFaults returns the faults of which others are made.
func (n *Network) partsOfFaults() map[*Fault]bool {
	parts := map[*Fault]bool{}
	for _, f := range n.log.faults {
		for _, part := range f.parts {
			parts[part] = true
		}
	}
	return parts
}

// unfired returns the faults that had to fire and did not.
func (n *Network) unfired() []string {
	return texts(n, func() (all []string) {
		for _, f := range n.log.faults {
			if f.must && !f.leftOut && f.firings().Count == 0 {
				f.told = true
				all = append(all, "sim: a fault with MustFire never fired: "+f.missed())
			}
		}
		return all
	})
}

// mostIdle is how many faults that never fired the report lists.
const mostIdle = 30

// idleFaultsLocked names what a test broke without any effect.
func (n *Network) idleFaultsLocked() string {
	var idle []string
	for _, f := range n.log.faults {
		if f.parts != nil && f.state != faultMade { // they are reported by themselves
			continue
		}
		if !f.told && !f.leftOut && f.firings().Count == 0 {
			idle = append(idle, "  "+f.missed())
		}
	}
	var unused []string
	seen := map[*pipe]bool{}
	for _, p := range n.wires.sorted() {
		switch {
		case p.used() || p.reverse.used():
			idle = append(idle, p.idle()...)
		case !seen[p.reverse] && (p.awaits() || p.reverse.awaits()):
			unused = append(unused, fmt.Sprintf("%s - %s", p.from.name, p.to.name))
		}
		seen[p] = true
	}
	if len(unused) > 0 {
		idle = append(idle, "  No packet was sent over these links: "+shortList(unused, 8))
	}
	for _, p := range n.log.unripe {
		if p.Fault == nil {
			idle = append(idle, fmt.Sprintf("  After at %v: the test ended first", p.At))
		}
	}
	if len(idle) == 0 {
		return ""
	}
	if more := len(idle) - mostIdle; more > 0 {
		idle = append(idle[:mostIdle], fmt.Sprintf("  ... and %d more", more))
	}
	return "Faults that never fired:\n" + strings.Join(idle, "\n")
}

// shortList lists a few names, and how many more there are.
func shortList(names []string, most int) string {
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
