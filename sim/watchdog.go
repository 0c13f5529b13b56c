package sim

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// A watchdog runs on the real clock, outside the bubble, and ends the process when
// virtual time stands still, or as good as (see spinning): when all goroutines of the bubble are blocked, but some
// in a way that the bubble does not count as blocked, such as waiting for a mutex
// whose holder waits for the network. The runtime notices nothing of that, and the
// test would hang until its timeout.
type watchdog struct {
	command func() string
	bubble  atomic.Pointer[string]
	network atomic.Pointer[Network]
	done    chan struct{}
}

const (
	watchEvery = time.Second // of real time
	watchDelay = 3           // rounds without a step before the stacks are looked at
)

func newWatchdog(command func() string) *watchdog {
	d := &watchdog{command: command, done: make(chan struct{})}
	go d.run()
	return d
}

// watch is called inside the bubble.
func (d *watchdog) watch(n *Network) {
	_, bubble := thisGoroutine()
	d.bubble.Store(&bubble)
	d.network.Store(n)
}

func (d *watchdog) stop() { close(d.done) }

// goroutines lists those of the bubble.
func (d *watchdog) goroutines() []goroutine {
	if b := d.bubble.Load(); b != nil {
		return bubbleGoroutines(*b)
	}
	return nil
}

func (d *watchdog) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last uint64
	quiet, look := 0, watchDelay
	var suspects string
	var spin spinning
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		n := d.network.Load()
		if n == nil {
			continue
		}
		if now := n.steps.Load(); now != last {
			last, quiet, look, suspects = now, 0, watchDelay, ""
			if spin.since(n, now) {
				d.barkAtSpin(spin)
			}
			continue
		}
		if quiet++; quiet < look {
			continue
		}
		gs := d.goroutines()
		if waiting := outside(gs); len(waiting) > 0 {
			look = quiet + 1
			if time.Duration(quiet)*watchEvery >= outsidePatience {
				n.run.Load().abandon(outsideText(waiting, gs))
				return
			}
			continue
		}
		frozen := stuck(gs)
		if len(frozen) > 0 {
			look = quiet + 1
		} else { // the test is busy; to look stops all its goroutines, so wait longer next time
			look = 2 * quiet
		}
		ids := ""
		for _, g := range frozen {
			ids += g.id + " "
		}
		if ids != "" && ids == suspects {
			d.bark(frozen)
		}
		suspects = ids
	}
}

// stuck returns the goroutines that wait in a way which stops the bubble's clock, or
// nil if any goroutine runs.
func stuck(gs []goroutine) []goroutine {
	var found []goroutine
	for _, g := range gs {
		switch {
		case strings.Contains(g.state, "(durable)"):
		case g.state == "running", g.state == "runnable", g.state == "syscall":
			return nil
		default:
			found = append(found, g)
		}
	}
	return found
}

func (d *watchdog) bark(frozen []goroutine) {
	fmt.Fprintf(os.Stderr, `
sim: virtual time stands still. All goroutines of the test are blocked, and %d of them in a way
that stops the bubble's clock (%s): so what they wait for never comes.
This is usually a mutex held across a call that waits for the network. Make the lock a channel,
or do not hold it while blocked; see "Frozen time" in the README.
%s%s
To repeat it: %s

`, len(frozen), states(frozen), advice(d.goroutines()), stacksOf(frozen), d.command())
	panic("sim: virtual time stands still")
}

func states(gs []goroutine) string {
	var all []string
	seen := map[string]bool{}
	for _, g := range gs {
		if !seen[g.state] {
			seen[g.state] = true
			all = append(all, g.state)
		}
	}
	return strings.Join(all, ", ")
}
