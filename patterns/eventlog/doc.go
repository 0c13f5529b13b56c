// Package eventlog is an ordered log of entries that a reader can leave and
// come back to: the recovery log behind the patterns that deliver events.
//
// A reader holds a [Cursor], the position after the last entry it has seen, and asks for what
// came [Log.After] it. The answer is complete, or says why it is not ([Reason]); it is never
// silently partial. A cursor is an offset within an epoch. The epoch names one incarnation of a
// log: offsets of different epochs must not be compared, so a cursor from another one is
// answered with [ReasonWrongEpoch] even when its offset exists.
//
// Two logs implement [Log]: [Memory], gone with its process, and [Disk], which keeps epoch and
// entries in one bbolt file. Both are bounded ([Options]): the oldest entries make room for new
// ones, and a reader that still needed them gets [ReasonCompacted].
//
// # Reading
//
// A reader that has no position starts at [Log.Tail], for all that is kept, or
// at [Log.Head], for what comes from now on. To join a snapshot with the log,
// take Head before the snapshot: an entry may then be seen twice, but none is
// missed. [Next] waits for the next page; [Log.Watch] is the mechanism beneath
// it, for callers that wait for other things too.
//
// # What it does not do
//
// It does not replicate, and has one writing process. It keeps no position on behalf of
// readers. An entry past its Expires is skipped silently, as its publisher wanted. The loss of
// anything else is reported, also when the reader asks for a topic of which nothing was lost:
// the log remembers how far it was compacted as one position, not one per topic.
package eventlog
