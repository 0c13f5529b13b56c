package sim

// A journal is what a report is made of.
type journal struct {
	trace    *Trace
	faults   []*Fault // in the order in which they were made
	failures []string // of processes
	strays   []string // what the program asked of the operating system's own network
	unheard  []unheard
	unripe   Schedule // what the end of the network prevented
	film     *film    // nil in ordinary runs
	lines    logLines // what the program logged: with a film, and always in exact mode
}
