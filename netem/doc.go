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
//     with ECN it is marked instead;
//  3. the queue and Limit: with no room left the packet is dropped, or, by [CoDel] and the like, one
//     that has waited for long, which is decided when its turn has come;
//  4. serialisation at Rate or by a Shaper, first in first out, with what Framing adds;
//  5. Slots: it leaves with the next bunch;
//  6. Delay and Jitter, counted from the moment its last bit is sent; a packet
//     picked by Reorder skips this step;
//  7. corruption: the packet arrives, with a bit error or with Damage.
//
// Its copies follow right behind it, from step 3 on.
//
// Linux's netem adds the delay before it serialises. With a fixed delay the two
// orders give the same arrivals; with jitter they do not. Its copies begin anew at step 1.
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
// Fragmentation, ICMP and link-layer headers other than Framing's: sizes and Rate count IP
// packets. The bytes of a packet are not here to be changed: what a checksum finds is a mark on
// the verdict, and [Damage.Apply] is for who has the bytes.
package netem
