// Package mux carries many streams over one connection. It also has the opposite: a pool of
// connections, each of which carries one exchange at a time.
//
// A [Session] is one end of any net.Conn. Each of its streams is a net.Conn with two directions
// that end independently:
//
//	session := mux.Config{}.Server(conn)     mux.Config{}.Client(conn) on the other side
//	for {
//		stream, err := session.AcceptStream(ctx)
//		...
//		go serve(stream)                     which closes it
//	}
//
// A [Client] dials a server, and replaces its session when that has ended. A [Pool] lends its
// connections to one exchange after another. The frames are those of yamux
// (github.com/hashicorp/yamux, spec.md), so the peer can use a yamux library: hashicorp/yamux,
// libp2p/go-yamux, and those of other languages.
//
// # When to use it
//
// Use it when two processes exchange many things at once and a connection is expensive: its
// handshake and TLS take round trips, its congestion window starts small, a NAT or a load balancer
// limits connections, or only one side can dial (the other can then open streams in the reverse
// direction). Use it when the exchanges are streams, which HTTP/1.1 does not have.
//
// Do not use it when packets get lost and streams should not wait for each other: TCP keeps the
// order of all bytes, so one lost segment stops every stream for a round trip, or for the
// retransmission timeout; with a pool, or QUIC, it stops one. Do not use it when one transfer needs
// the whole link: a stream's window limits it to Window per round trip (256 KiB at 100 ms are 2.6
// MB/s). Do not use it for HTTP requests, which have HTTP/2, or to limit concurrency, which is what
// the pool does well.
//
// Measured over net.Pipe, with writes of 64 KiB (interop, one run of -bench Mux): processor time
// per byte is 2.3 times that of the bare pipe; libp2p/go-yamux takes 4.3 times and hashicorp/yamux
// 4.8 times. No frame allocates. A round trip takes 0.4 times, and opening a stream 0.2 times, as
// long as with go-yamux. An idle stream takes 0.4 KB on each side, and no goroutine.
//
// Measured (rows MX-23 of scenarios/mux): a hundred concurrent requests with a round trip of 80 ms
// take 80 ms over a session. Over a pool of six connections they take 1.44 s including connecting,
// and a request waits 0.70 s for its turn on average.
//
// # What it promises
//
//   - What is written to a stream is read from it, in order and unchanged, or reading ends with an
//     error. io.EOF means that the peer ended the stream, never that the connection broke.
//   - A stream that is not read blocks only itself, at its window. All streams together hold at
//     most MaxReceiveBytes unread; beyond that, the stream with the most is reset.
//   - A session never sends more than the peer's window. A peer that exceeds its own window ends
//     the session.
//   - Streams that have something to send take turns, by bytes. A stream that was idle waits for
//     at most one frame of each other stream. Data in the connection's own buffers goes first: for
//     short messages next to long transfers, make these buffers small (SetWriteBuffer).
//   - The end of a direction arrives after everything that was written before it, and the other
//     direction stays open. A reset ends all calls on both sides at once.
//   - Stream numbers are not reused. Frames of a stream that has ended are ignored.
//   - [Session.Drain] loses no stream that the peer opens in the meantime. If a stream ends with
//     [ErrRefused], [ErrDraining] or [ErrExhausted], the peer's program has seen nothing of it:
//     [Unprocessed].
//   - A silent peer is detected within KeepAlive and Timeout, whether or not data waits to be
//     written. All streams then end with [ErrTimeout].
//   - The fields of [Config] bound what a peer can make this side hold or do: streams, streams
//     waiting to be accepted, streams opened and reset, answers to pings, unread bytes. Nothing is
//     allocated for a length that was only announced.
//   - Both sides can write any amount at the same time: reading never waits for writing.
//
// # What it does not do
//
// It does not authenticate or encrypt: put TLS under it. It does not reconnect streams: their state
// belongs to the program. Streams have no priorities. A window does not grow with the round-trip
// time. Because yamux has no window for a session, the session's memory is bounded by resetting
// streams.
//
// # The protocol
//
// A frame has version 0, a type, flags, a stream number and a length: see frame.go. Where the
// specification leaves something open, this package decides:
//
//   - Data after the end of a direction, and windows that add up to more than 2^32-1 bytes, reset
//     the stream. (Both libraries deliver the data, and let the sum wrap.)
//   - These end the session with code 1: a stream number of the wrong side, a number that was used
//     before (or is more than 1,023 streams below the highest), an unknown version or type, stream
//     0, and more bytes than the window. The code is sent before the connection is closed, if the
//     connection accepts it within GoAwayTimeout.
//   - These are ignored: frames for streams that do not exist, answers that nobody waits for,
//     unknown flags, and a second end of a direction.
//   - A stream is acknowledged when the program accepts it. A reset before that means that it was
//     refused. A stream that the peer resets before that leaves the backlog.
//   - A window is returned when half of it was read. A Window above 256 KiB is announced with the
//     first frame.
//   - After go-away with code 0, neither the side that sent it nor the peer may open streams;
//     existing streams continue. It is followed by a ping, whose answer shows that the peer has
//     received it. (go-yamux ends the session when it gets a go-away, so its streams are cut off.)
//     Any other code ends the session.
//   - The length of a reset is a code, as in go-yamux; 0 otherwise.
package mux
