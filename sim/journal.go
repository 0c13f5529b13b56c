package sim

// A journal is what a report is made of.
type journal struct {
	trace    *Trace
	faults   []*Fault // in the order in which they were made
	failures []string // of processes
	strays   []string // what the program asked the operating system's own network for
	unheard  []unheard
	unripe   Schedule // what the end of the network forestalled
	film     *film    // nil in ordinary runs
	lines    logLines // what the program said: with a film, and in exact mode always
}
