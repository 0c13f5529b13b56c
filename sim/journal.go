package sim

import "time"

// A journal is what a report is made of.
type journal struct {
	trace    *Trace
	faults   []*fault
	failures []string        // of processes
	strays   []string        // what the program asked the operating system's own network for
	unripe   []time.Duration // when an After would have come that the end of the network forestalled
}
