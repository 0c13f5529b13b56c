// Package weather draws random fault schedules, storms, for any test on a simulated network, and makes those that fail it small.
//
// [Test] runs a function once for each seed, in a storm of its own: some faults of the hosts and links that the function has made, drawn from the
// seed. When the storm is over all is as before, and after a time for recovery the function demands what must hold again. Of a storm that fails only what is needed
// is left: the fewest faults, which are the simplest, shortest and latest with which the test still fails in the same way. They are said in a
// sentence and as Go, and kept under testdata, to be run first the next time.
//
// Each storm is drawn by swarm: about half of the kinds of faults are left out of it, so that the others have more room. The kinds, by the names that
// Config.Kinds and files have, from the simplest on:
//
//	of a host    crash, power-off, pause; isolate (from all others, at once), isolate-held (packets wait),
//	             isolate-open and isolate-new (connections that are open, or are opened then)
//	of a link    down, down-from (one end), hold, reject, flap (down for 1 s of every 5 s), drop-data,
//	             duplicate-data and reset-data (what one end sends), reset-syn, close-after (1000 bytes of one end),
//	             lossy (5 %), very-lossy (40 %), lossy-in-bursts, slow (64 kbit/s), out-of-order, corrupt (10 %)
//	of two hosts partition, partition-one-way, cross-traffic (56 kbit/s)
//
// Faults of a link need one ([sim.Network.Link]); hosts without links have the others. Routers are in no storm but as ends of links. What is on a host without
// [sim.Host.Run] or [sim.Host.ServeHTTP] does not come back after a crash. An impaired link has for both directions what the first one had.
//
// The storms of package patterntest are drawn and made smaller by the same code.
package weather
