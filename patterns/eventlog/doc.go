// Package eventlog is an ordered log of entries that a reader can leave and return to. It is
// the recovery log of the patterns that deliver events.
//
// A reader holds a [Cursor], the position after the last entry it has seen, and asks for the
// entries after it ([Log].After). The answer is complete, or says why it is not ([Reason]); it
// is never silently partial. A cursor is an offset within an epoch. The epoch names one
// incarnation of a log. Offsets of different epochs cannot be compared, so a cursor from
// another epoch is answered with [ReasonWrongEpoch] even if its offset exists.
//
// Two types implement [Log]: [Memory], which is lost with its process, and [Disk], which keeps
// the epoch and the entries in one bbolt file. Both are bounded ([Options]): the oldest entries
// make room for new ones, and a reader that still needed them gets [ReasonCompacted].
//
// # Reading
//
// A reader without a position starts at [Log].Tail to read everything that is kept, or at
// [Log].Head to read only new entries. To combine a snapshot with the log, read Head before
// taking the snapshot: an entry can then be seen twice, but none is missed. [Next] waits for
// the next page. It is built on [Log].Watch, which is for callers that wait for other things
// too.
//
// # What it does not do
//
// It does not replicate, and has one writing process. It stores no positions for readers. An
// entry past its Expires is skipped silently, as its publisher wanted. Any other loss is
// reported, even to a reader of a topic that lost nothing: the log remembers one position up
// to which it was compacted, not one per topic.
package eventlog
