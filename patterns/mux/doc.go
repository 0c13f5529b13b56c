// Package mux carries many streams over one connection, and has the opposite beside it: a pool of connections, of
// which each carries one exchange at a time.
//
// A [Session] is one end of any net.Conn. Each of its streams is a net.Conn with two directions that end separately:
//
//	session := mux.Config{}.Server(conn)     mux.Config{}.Client(conn) on the other side
//	for {
//		stream, err := session.AcceptStream(ctx)
//		...
//		go serve(stream)                     which closes it
//	}
//
// A [Client] dials a server, and replaces its session when that has ended. A [Pool] has its connections shared by
// turns. The frames are those of yamux (github.com/hashicorp/yamux, spec.md), so that its libraries can be the peer:
// hashicorp/yamux, libp2p/go-yamux, and those of other languages.
//
// # When to use it
//
// When two processes exchange many things at once and a connection is dear: its handshake and TLS take round trips,
// its congestion window begins anew, a NAT or a load balancer has a limit, or only one side can dial (then the
// other opens streams backwards). When the exchanges are streams, which HTTP/1.1 does not have.
//
// Not when packets get lost and streams should not wait for each other: TCP keeps the order of all bytes, so one lost segment
// stops every stream for a round trip, or for the retransmission timeout; over a pool, or QUIC, it stops one. Not
// when one transfer needs the whole link: a stream's window limits it to Window per round trip (256 KiB at 100 ms are
// 2.6 MB/s). Not for HTTP requests, which have HTTP/2. Not as a limit of concurrency: that is what the pool is good at.
//
// Measured over net.Pipe, writes of 64 KiB (interop, one run of -bench Mux): processor time for a byte is 2.3 times that of the
// bare pipe, where libp2p/go-yamux takes 4.3 and hashicorp/yamux 4.8; no frame allocates; round trips take 0.4 and opening a
// stream 0.2 of go-yamux's time. An idle stream takes 0.4 KB on each side, and no goroutine.
//
// Measured (rows MX-23 of scenarios/mux): a hundred requests at once with a round trip of 80 ms take 80 ms over a
// session; over a pool of six they take 1.44 s with connecting, of which a request waits 0.70 s for its turn, on average.
//
// # What it promises
//
//   - What is written to a stream is read from it, in order and unchanged, or reading ends with an error. Only the peer's end
//     of the stream is io.EOF; a connection that breaks is not.
//   - A stream that is not read holds up itself alone, at its window. All streams together hold
//     MaxReceiveBytes unread; beyond it the one with the most is reset.
//   - A session never sends more than the peer's window. A peer that sends more than its own ends the session.
//   - Frames of streams that have something to send go in turn, by bytes; a stream that was idle waits for one frame of
//     each other at most. What the connection has in its own buffers is before it: for short messages beside
//     long transfers make these small (SetWriteBuffer).
//   - The end of a direction comes after what was written before, and the other direction stays open. A reset ends
//     all calls on both sides at once.
//   - Numbers of streams are not used again. Frames of a stream that has ended are ignored.
//   - [Session.Drain] loses no stream that the peer opens meanwhile; of one that ends with [ErrRefused], [ErrDraining] or
//     [ErrExhausted] the peer's program has seen nothing: [Unprocessed].
//   - A peer that is silent is noticed within KeepAlive and Timeout, whether something waits to be written or
//     not; all streams then end with [ErrTimeout].
//   - What a peer makes this side hold or do is bounded by the fields of [Config]: streams, those that wait to be accepted,
//     those that are opened and reset, answers to pings, unread bytes. Nothing is allocated for a length that
//     was only announced.
//   - Both sides may write at once as much as they like: reading never waits for writing.
//
// # What it does not do
//
// It does not authenticate or encrypt: put TLS under it. It does not reconnect streams: their state is the program's.
// There is no priority among streams. A window does not grow with the round trip. The session's memory is bounded
// by resetting, since yamux has no window for a session.
//
// # The protocol
//
// A frame is version 0, a type, flags, a stream and a length: see frame.go. Where the specification leaves something open:
//
//   - Data after the end of a direction, and windows of more than 2^32-1 bytes in sum, reset the stream. (Both libraries
//     deliver the data, and let the sum wrap.)
//   - A number of the wrong side, a number a second time (or more than 1,023 streams behind the highest), an
//     unknown version or type, stream 0, and more bytes than the window end the session with code 1. The code is sent before the
//     connection is closed, if it takes it within GoAwayTimeout.
//   - Frames for streams that do not exist, answers that nobody waits for, unknown flags, and a second end of
//     a direction are ignored.
//   - A stream is acknowledged when the program accepts it. Before that a reset means that it was refused. A stream that
//     the peer resets before that leaves the backlog.
//   - A window is given back when half of it was read. A Window above 256 KiB is announced with the first frame.
//   - Go-away with code 0: the side that sends it opens no more streams, nor may the peer; those that exist go on. It is
//     followed by a ping, by whose answer the peer is known to know. (go-yamux ends the session
//     when it gets one: its streams are cut off.) Any other code ends the session.
//   - The length of a reset is a code, as in go-yamux; 0 otherwise.
package mux
