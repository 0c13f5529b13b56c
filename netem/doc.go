// Package netem is what one direction of a link does to a packet: it delays,
// loses, duplicates, reorders, corrupts, queues or refuses it.
//
// A [Config] describes the direction, a [Pipe] is its state, and [Pipe.Send]
// answers for one packet: dropped, and why, or delivered, and when. The package
// is pure: it has no clock, no goroutine and no socket. The caller passes the
// time, counted from the start of the network, and a [Stream] of random
// numbers, and the same calls give the same verdicts on every platform.
//
// The words are those of Linux's netem queueing discipline (tc-netem(8)); the
// order is that of a real link, and differs where netem's does (see below).
//
// # Order
//
// A packet meets, in this order:
//
//  1. the MTU: a larger packet is dropped;
//  2. the loss model: a lost packet takes no room in the queue and no rate;
//  3. duplication: a copy enters right behind its original;
//  4. the queue: with no room left the packet is dropped;
//  5. serialisation at Rate, first in first out;
//  6. Delay and Jitter, counted from the moment its last bit is sent; a packet
//     picked by Reorder skips this step;
//  7. corruption: the packet arrives, with a bit error.
//
// Linux's netem adds the delay before it serialises. With a fixed delay the two
// orders give the same arrivals; with jitter they do not.
//
// # Random draws
//
// Each packet takes one step of its stream, whatever is configured and whatever
// happens to it, and each impairment looks at a number of its own, derived from
// that step. So switching an impairment on or off, or changing its probability,
// never changes what another one draws. Probabilities are compared as integers,
// in units of 2^-63.
//
// # Not modelled
//
// Fragmentation, ICMP, link-layer headers (sizes and Rate count IP packets),
// active queue management, ECN marks, token buckets, correlated jitter and
// rates that vary by themselves. Corruption is a mark on the packet: its bytes
// are not here to be changed.
package netem
