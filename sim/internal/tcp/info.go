package tcp

// Events is a set of events, one bit each.
type Events uint8

const (
	Connected Events = 1 << iota // the handshake is complete
	Readable                     // bytes, or EOF
	Writable                     // Write found the send buffer full, and a third of it is free again
	Failed                       // Err is set
	Closed                       // the state machine has ended: the caller may forget the connection
)

// State is the state of a connection.
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

// String returns the state as netstat prints it.
func (s State) String() string {
	return [...]string{"CLOSED", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2",
		"CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"}[s]
}

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
	NoProtocol           // ENOPROTOOPT
	NotSupported         // EOPNOTSUPP
	HostDown             // EHOSTDOWN
	NoNetwork            // ENONET
	Prohibited           // EACCES
	ProtocolError        // EPROTO
)

func (c Code) String() string {
	return [...]string{"ok", "connection refused", "connection reset by peer", "broken pipe", "connection timed out",
		"no route to host", "network is unreachable", "protocol not available", "operation not supported", "host is down",
		"machine is not on the network", "permission denied", "protocol error"}[c]
}

// Info describes the state of a connection in numbers, like Linux's tcp_info.
type Info struct {
	State         State
	Recovery      string // Open, Disorder, CWR, Recovery or Loss, Linux's names
	Cwnd          int    // segments
	SSThresh      int    // segments; math.MaxInt32 until a loss
	SRTT, RTTVar  Time
	MinRTT, RTO   Time
	Backoff       int // doublings of RTO
	InFlight      int // segments that are neither acknowledged nor thought lost
	Unacked       int // segments sent and not acknowledged
	Sacked, Lost  int // the part of Unacked that arrived, or is thought lost
	Retransmits   int // segments, in total
	Timeouts      int // retransmission timeouts, in total
	SendQueue     int // bytes written and not acknowledged
	NotSent       int // the part of SendQueue that was never sent
	ReceiveQueue  int // bytes received and not read
	SendWindow    int // bytes that the peer allows us to send
	ReceiveWindow int // bytes that we allow the peer to send
	SendBuffer    int // limit in the kernel's accounting, bytes
	ReceiveBuffer int
	MSS           int    // bytes
	BytesAcked    uint64 // of our stream
	BytesReceived uint64 // of the peer's stream, in order
	SegmentsSent  uint64
	SegmentsRecvd uint64
}

// Retransmits returns how many segments were sent again.
func (c *Conn) Retransmits() uint32 { return c.retransTotal }

// Info describes the connection for a table or a trace.
func (c *Conn) Info() Info {
	i := Info{
		State:         c.state,
		Recovery:      c.cc.state.String(),
		Cwnd:          int(c.cc.cwnd),
		SSThresh:      int(c.cc.ssthresh),
		SRTT:          c.rtt.srtt8 / 8,
		RTTVar:        c.rtt.rttvar / 4,
		MinRTT:        c.rtt.min(),
		RTO:           c.rtt.rto,
		Backoff:       int(c.backoff),
		InFlight:      c.inFlight(),
		Unacked:       c.tx.packets(),
		Sacked:        int(c.rec.sacked),
		Lost:          int(c.rec.lost),
		Retransmits:   int(c.retransTotal),
		Timeouts:      int(c.rtoTotal),
		SendQueue:     int(c.end - c.una),
		NotSent:       int(c.end - c.nxt),
		ReceiveQueue:  c.Readable(),
		SendWindow:    int(c.wnd),
		ReceiveWindow: int(c.receiveWindow()),
		SendBuffer:    int(c.sndbuf),
		ReceiveBuffer: int(c.rcvbuf),
		MSS:           int(c.mss),
		SegmentsSent:  uint64(c.segsOut),
		SegmentsRecvd: uint64(c.segsIn),
	}
	if c.una > 0 {
		i.BytesAcked = c.una - 1
		if c.flag&finQueued != 0 && c.una == c.end {
			i.BytesAcked--
		}
	}
	if c.rcvNxt > 0 {
		i.BytesReceived = c.rcvNxt - 1
		if c.flag&finReceived != 0 {
			i.BytesReceived--
		}
	}
	return i
}
