// Package tcp is TCP as a state machine without I/O: segments, calls of the
// program and the time go in, segments, events and deadlines come out. It has
// no goroutine, no clock and no lock; its owner calls it from one place at a
// time. It follows Linux where Linux and the RFCs differ.
package tcp

// Output is where a connection's segments go.
type Output interface {
	// NewSegment returns a zero segment.
	NewSegment() *Segment
	// Send takes over s. It must not call into c.
	Send(c *Conn, s *Segment)
}

// A Conn is one end of a connection.
type Conn struct {
	cfg *Config
	out Output
}

// Dial starts a connection: it sends the SYN. mtu is the largest packet in bytes,
// IP header included, that the interface takes.
func Dial(cfg *Config, out Output, mtu int, now Time) *Conn { panic("tcp: not yet") }

// Accept answers the SYN syn of a new peer with a SYN-ACK. The connection is in
// SynReceived until the peer's acknowledgement comes, which the caller may drop
// to imitate a full accept queue.
func Accept(cfg *Config, out Output, mtu int, now Time, syn *Segment) *Conn { panic("tcp: not yet") }

// Input handles a segment that arrived. It keeps s.Payload, but not s.
func (c *Conn) Input(now Time, s *Segment) { panic("tcp: not yet") }

// NextTimer is the instant of the earliest timer, or Never.
func (c *Conn) NextTimer() Time { panic("tcp: not yet") }

// Timeout runs all timers that are due at now.
func (c *Conn) Timeout(now Time) { panic("tcp: not yet") }

// Write copies as much of p into the send buffer as it takes and sends what the
// windows allow. It returns 0 when the buffer is full (see Events for Writable),
// and also when nothing can be sent any more (see CanWrite).
func (c *Conn) Write(now Time, p []byte) int { panic("tcp: not yet") }

// Read copies received bytes into p, and may send a window update. Zero means
// that nothing is there; EOF and Err say whether anything will come.
func (c *Conn) Read(now Time, p []byte) int { panic("tcp: not yet") }

// Readable is the number of bytes that Read has for the program.
func (c *Conn) Readable() int { panic("tcp: not yet") }

// EOF reports that everything up to the peer's FIN has been read, that reading
// was shut down, or that the connection is dead: nothing more will come.
func (c *Conn) EOF() bool { panic("tcp: not yet") }

// Writable reports whether a writer that was blocked would be woken: Linux
// wakes it when a third of the send buffer is free (sk_stream_is_writeable).
func (c *Conn) Writable() bool { panic("tcp: not yet") }

// CanWrite is false once the program has shut down writing, or the connection is
// dead: a write fails with EPIPE then, unless Err holds an error not reported yet.
func (c *Conn) CanWrite() bool { panic("tcp: not yet") }

// CloseRead is shutdown(SHUT_RD): reads return what is there, then EOF. Nothing
// is sent; data that arrives later is still acknowledged and can be read.
func (c *Conn) CloseRead(now Time) { panic("tcp: not yet") }

// CloseWrite is shutdown(SHUT_WR): a FIN follows the data in the send buffer.
func (c *Conn) CloseWrite(now Time) { panic("tcp: not yet") }

// Close is close(2) without linger: what was written is still sent, in the
// background, then a FIN. If received bytes are unread a RST is sent instead.
func (c *Conn) Close(now Time) { panic("tcp: not yet") }

// Abort is close(2) with a linger of zero: a RST, and everything is forgotten.
func (c *Conn) Abort(now Time) { panic("tcp: not yet") }

// SetNoDelay turns Nagle's algorithm off, which it is in a new connection, as in
// Go, or on.
func (c *Conn) SetNoDelay(now Time, on bool) { panic("tcp: not yet") }

// SetKeepAlive changes the keep-alive; it counts from the last segment received.
func (c *Conn) SetKeepAlive(now Time, k KeepAlive) { panic("tcp: not yet") }

// SetReadBuffer and SetWriteBuffer fix the size of a buffer in bytes, which ends
// its tuning. As in Linux twice the size is set aside, since bookkeeping counts.
func (c *Conn) SetReadBuffer(bytes int)  { panic("tcp: not yet") }
func (c *Conn) SetWriteBuffer(bytes int) { panic("tcp: not yet") }

// Unreachable tells c of an ICMP destination unreachable message for the segment
// of c with sequence number seq. It ends a connection attempt; later it is only
// the error that a timeout will report.
func (c *Conn) Unreachable(now Time, seq uint64, host bool) { panic("tcp: not yet") }

// Events returns what happened since the last call.
func (c *Conn) Events() Events { panic("tcp: not yet") }

// State is the state of RFC 9293 section 3.3.2.
func (c *Conn) State() State { panic("tcp: not yet") }

// Err says why the connection failed. It does not change once set.
func (c *Conn) Err() Code { panic("tcp: not yet") }

// Info describes the connection for a table or a trace.
func (c *Conn) Info() Info { panic("tcp: not yet") }

// Events are bits.
type Events uint8

const (
	Connected Events = 1 << iota // the handshake is complete
	Readable                     // bytes, or EOF
	Writable                     // a third of the send buffer is free again after Write found it full
	Failed                       // Err is set
	Closed                       // the state machine has ended: the caller may forget the connection
)

// State is a state of a connection.
type State uint8

const (
	StateClosed State = iota
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

var stateNames = [...]string{"CLOSED", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2",
	"CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"}

// String is the state as netstat prints it.
func (s State) String() string { return stateNames[s] }

// Code is the cause of a failure.
type Code uint8

const (
	OK              Code = iota
	Refused              // ECONNREFUSED: RST in answer to a SYN
	Reset                // ECONNRESET: RST
	BrokenPipe           // EPIPE: RST after the peer's FIN (CLOSE_WAIT)
	TimedOut             // ETIMEDOUT: nothing was acknowledged
	HostUnreachable      // EHOSTUNREACH
	NetUnreachable       // ENETUNREACH
)

// Info is the state of a connection in numbers, as Linux's tcp_info.
type Info struct {
	State            State
	Cwnd, SSThresh   int // segments; SSThresh is math.MaxInt32 until a loss
	SRTT, RTTVar     Time
	RTO              Time
	MinRTT           Time
	Backoff          int // timeouts in a row
	InFlight         int // segments: sent, neither acknowledged nor thought lost
	Retransmits      int // segments, in all
	Timeouts         int // retransmission timeouts, in all
	SendQueue        int // bytes written and not acknowledged
	NotSent          int // bytes of them that were never sent
	ReceiveQueue     int // bytes received and not read
	SendWindow       int // bytes that the peer allows
	ReceiveWindow    int // bytes that the peer is allowed
	BytesSent        uint64
	BytesAcked       uint64
	BytesReceived    uint64
	SegmentsSent     uint64
	SegmentsReceived uint64
	MSS              int
}
