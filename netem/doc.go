// Package netem computes what one direction of a link does to a packet: how it delays, loses, duplicates,
// reorders, corrupts, queues or refuses it.
//
// A [Config] describes the direction, and a [Pipe] holds its state. [Pipe.Send] returns the verdict on one
// packet: dropped, and why, or delivered, and when. The package is pure: it has no clock, no goroutine and no
// socket. The caller passes the time, counted from the start of the network, and a [Stream] of random
// numbers. The same calls give the same verdicts on every platform.
//
// The terms are those of Linux's netem queueing discipline (tc-netem(8)). The order is that of a real link,
// which differs from netem's in places (see below).
//
// # Order
//
// A packet meets, in this order:
//
//  1. MTU: a larger packet is dropped.
//  2. Loss: a lost packet takes no room in the queue and no rate; with ECN it is marked instead.
//  3. Queue and Limit: with no room left, the packet is dropped. [CoDel] and similar queues drop a packet
//     that has waited for long; they decide when its turn comes.
//  4. Rate or Shaper: serialisation, first in first out, with what Framing adds.
//  5. Slots: the packet leaves with the next bunch.
//  6. Delay and Jitter, counted from the moment its last bit is sent. A packet picked by Reorder skips this
//     step.
//  7. Corrupt: the packet arrives, with a bit error or with Damage.
//
// Its copies follow right after it, from step 3 on.
//
// Linux's netem adds the delay before it serialises. With a fixed delay the two orders give the same
// arrivals; with jitter they do not. Netem's copies start again at step 1.
//
// # Random draws
//
// Each packet takes one step of its stream, whatever is configured and whatever happens to it. Each
// impairment uses a number of its own, derived from that step. So switching one impairment on or off, or
// changing its probability, never changes what another one draws. Probabilities are compared as integers, in
// units of 2^-63.
//
// # Not modelled
//
// The package has no fragmentation, no ICMP and no link-layer headers other than Framing's: sizes and Rate
// count IP packets. It does not see a packet's bytes. An error that a checksum finds is a mark on the
// verdict; for any other, [Damage.Apply] is for the caller who has the bytes.
package netem
