// Package weather draws random fault schedules, called storms, for any test on a simulated network,
// and shrinks those that make it fail.
//
// [Test] runs a function once for each seed, each time in a storm of its own: faults of the hosts
// and links that the function has created, drawn from the seed. After the storm all faults have
// ended. After a further time for recovery, the function checks what must hold again. A storm that
// makes the test fail is shrunk to the fewest faults with which the test still fails in the same
// way, and these to the simplest, shortest and latest ones. They are printed as a sentence and as
// Go, and kept under testdata, where they are run first the next time.
//
// Each storm leaves out about half of the kinds of faults, to give the others more room (swarm
// testing). The kinds, by the names that Config.Kinds and the files use, the simplest first:
//
//	of a host    crash, power-off, pause; isolate (from all others, at once), isolate-held (packets wait),
//	             isolate-open and isolate-new (connections that are open, or are opened then)
//	of a link    down, down-from (one end), hold, reject, flap (down for 1 s of every 5 s), drop-data,
//	             duplicate-data and reset-data (what one end sends), reset-syn, close-after (1000 bytes of one end),
//	             lossy (5 %), very-lossy (40 %), lossy-in-bursts, slow (64 kbit/s), out-of-order, corrupt (10 %)
//	of two hosts partition, partition-one-way, cross-traffic (56 kbit/s)
//
// Faults of a link need one ([sim.Network.Link]); hosts without links get the other faults. Routers
// appear in storms only as ends of links. A program that was not started with [sim.Host.Run] or
// [sim.Host.ServeHTTP] does not come back after a crash of its host. While a link is impaired, both
// its directions have the configuration of the direction from the first-named host, plus the
// impairment.
//
// Package patterntest draws and shrinks its storms with the same code.
package weather
