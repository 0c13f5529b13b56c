// Package tcp is TCP as a state machine without I/O: segments, calls of the
// program and the time go in, segments, events and deadlines come out. It has
// no goroutine, no clock and no lock; its owner calls it from one place at a
// time, with a time that never goes back. It follows Linux where Linux and the
// RFCs differ; comments name the RFC's section or the kernel's function.
package tcp

import "math"

// Output is where a connection's segments go.
type Output interface {
	// NewSegment returns a zero segment.
	NewSegment() *Segment
	// Send takes over s. It must not call into c.
	Send(c *Conn, s *Segment)
	// SendRun is Send for a run, of several segments. SendApart will do.
	SendRun(c *Conn, s *Segment)
	// NewBlock returns memory for n bytes of the program's data, which need not be
	// zero.
	NewBlock(n int) []byte
	// RetireBlock gives back what NewBlock has returned. Segments still share it: it may be
	// used again when the program of the peer has read all that comes before the
	// sequence number end, since such data is not looked at any more.
	RetireBlock(block []byte, end uint64)
}

// A Conn is one end of a connection.
//
// What an idle connection does not need is kept outside and dropped: the queues,
// and the state of recovery and of CUBIC.
type Conn struct {
	cfg *Config
	out Output
	now Time // of the call that is running

	// Sequence numbers of what we send: acknowledged below una, sent below nxt,
	// written by the program (with its FIN) below end.
	una, nxt, end uint64
	wl1           uint64      // Seq of the segment that last set the send window
	snd           *sendBuffer // nil if nothing is to be sent or acknowledged
	tx            txQueue

	// And of what we receive: expected next, acknowledged last, read.
	rcvNxt, rcvWup, copied uint64
	rcvMax                 uint64        // right edge of the largest window offered
	iss, irs               uint32        // that they count from, ours and the peer's
	rcvq                   *receiveQueue // nil if nothing was received for a while
	ooo                    *outOfOrder   // nil if nothing is out of order

	// Timers. The retransmission timer has one of several meanings at a time.
	rtxAt, ackAt, keepAt        Time
	lastSent, lastData, lastAck Time // data sent, data received, acknowledgement received
	lastSegment                 Time // any sent
	ato                         Time // delay of acknowledgements
	tsRecent, rcvEcho           Time // timestamp to echo, and echoed last
	lastOutOfWindow             Time // when an unacceptable segment was last answered, plus 1
	probedSince                 Time // when a closed window was first probed; 0: it is open

	rtt     rttEstimate
	cc      congestion
	cub     *cubicState
	rack    rackState
	rec     recovery
	ep      *episode // nil before the first sign of a loss
	tune    bufferTuning
	sndbuf  int32  // limits in bytes
	rcvbuf  int32  // counted as Linux does: see trueSize
	rmem    int32  // of rcvbuf, in use
	taken   int32  // bytes read that Push has yet to deal with
	rcvMSS  uint16 // the peer's segment size, estimated
	lastLen uint16 // length of the last odd segment

	wnd, maxWnd            uint32
	rcvWnd                 uint32 // offered last, counted from rcvWup
	rcvSSThresh, wndClamp  uint32
	segsIn, segsOut        uint32
	retransTotal, rtoTotal uint32

	mss, mssClamp, advMSS uint16 // of a full segment; the peer's; what we announce
	mtu                   uint16 // of the path, as far as is known
	quick                 uint8  // acknowledgements still to be sent at once
	backoff, retries      uint8  // doublings of the timeout, timeouts in a row
	probes                uint8  // unanswered window probes or keep-alives
	sndScale, rcvScale    uint8
	scalingRatio          uint8 // of the buffer that is window, in 256ths

	state   State
	err     Code
	softErr Code
	events  Events
	timer   timerKind
	ack     ackFlags
	has     features
	ecn     ecnFlags
	flag    connFlags
}

type features uint8

const (
	sackOK features = 1 << iota
	timestampsOK
	scaleOK
)

type connFlags uint16

const (
	finQueued   connFlags = 1 << iota // the program ended its stream; the FIN counts in end
	finReceived                       // and so did the peer
	readShut                          // shutdown(SHUT_RD), or the peer's FIN
	orphan                            // closed by the program
	nagle                             // SetNoDelay(false)
	sndLocked                         // SetWriteBuffer
	rcvLocked                         // SetReadBuffer
	blocked                           // a Write found the buffer full
	passive                           // made by Accept
	progress                          // something that was sent has arrived: see TakeProgress
	morePart                          // another part of this segment follows
	laterPart                         // and this one is not the first
)

type ackFlags uint8

const (
	ackScheduled ackFlags = 1 << iota
	ackPushed             // a segment below the MSS, or with PSH, came
	ackPushed2            // and a second one
	ackNow
	ackNoMem // the receive buffer overflowed: offer a window of 0
	ackTimer
	pingpong // the program answers: the acknowledgement can ride on the answer
)

// Dial starts a connection: it sends the SYN. mtu is the largest packet in bytes,
// IP header included, that is known to pass: see [Conn.SetMTU]. iss is the initial
// sequence number. cfg comes from [Config.Complete].
func Dial(cfg *Config, out Output, mtu int, iss uint32, now Time) *Conn {
	c := newConn(cfg, out, mtu, iss, now)
	c.state = SynSent
	if !cfg.NoSACK {
		c.has |= sackOK
	}
	if !cfg.NoTimestamps {
		c.has |= timestampsOK
	}
	if !cfg.NoWindowScaling {
		c.has |= scaleOK
	}
	if cfg.ECN {
		c.ecn = ecnOK
	}
	c.initialWindow()
	c.end = 1
	c.sendSYN()
	return c
}

// Accept answers the SYN syn of a new peer with a SYN-ACK. The connection is in
// SynReceived until the peer's acknowledgement comes, which the caller may drop
// to imitate a full accept queue.
func Accept(cfg *Config, out Output, mtu int, iss uint32, now Time, syn *Segment) *Conn {
	c := newConn(cfg, out, mtu, iss, now)
	c.irs = syn.ISS
	c.state = SynReceived
	c.flag |= passive
	c.segsIn++
	c.acceptECN(syn)
	c.handshakeOptions(syn)
	c.rcvNxt = syn.Seq + 1
	c.rcvWup, c.copied = c.rcvNxt, c.rcvNxt
	c.wnd, c.maxWnd = syn.Window, syn.Window
	c.wl1 = syn.Seq
	c.initialWindow()
	c.rcvMax = c.rcvWup + uint64(c.rcvWnd)
	c.end = 1
	c.sendSYN()
	return c
}

func newConn(cfg *Config, out Output, mtu int, iss uint32, now Time) *Conn {
	if !cfg.complete {
		panic("tcp: Config is not from Config.Complete")
	}
	c := &Conn{cfg: cfg, out: out, now: now, iss: iss}
	c.mtu = uint16(min(mtu, math.MaxUint16))
	c.advMSS = uint16(max(int(c.mtu)-int(cfg.ipHeader)-tcpHeader, minAdvMSS))
	c.mssClamp = c.advMSS
	c.mss, c.rcvMSS = defaultMSS, defaultMSS
	c.rtxAt, c.ackAt, c.keepAt = Never, Never, Never
	c.tx.first, c.tx.last = none, none
	c.rtt.rto = cfg.RTOInitial
	c.rtt.mdev = cfg.RTOInitial
	c.cc.cwnd = uint32(cfg.InitialCwnd)
	c.cc.ssthresh = infinite
	c.rec.reordering = uint16(cfg.Reordering)
	c.rec.hint = none
	c.rack.steps = 1
	c.sndbuf = int32(cfg.SendBuffer.Default)
	c.rcvbuf = int32(cfg.ReceiveBuffer.Default)
	c.scalingRatio = defaultScalingRatio
	return c
}

const (
	minMSS     = 88  // of a peer, as a guess: TCP_MIN_MSS
	minSendMSS = 48  // options included: net.ipv4.tcp_min_snd_mss
	minAdvMSS  = 256 // net.ipv4.route.min_adv_mss
	defaultMSS = 536 // RFC 9293 section 3.7.1
	maxScale   = 14  // RFC 7323 section 2.3
)

// handshakeOptions takes over what the peer's SYN or SYN-ACK allows.
func (c *Conn) handshakeOptions(s *Segment) {
	peer := s.MSS
	if peer == 0 {
		peer = defaultMSS
	}
	c.mssClamp = peer
	if s.SACKPermitted && !c.cfg.NoSACK {
		c.has |= sackOK
	} else {
		c.has &^= sackOK
	}
	if s.HasTimestamps && !c.cfg.NoTimestamps {
		c.has |= timestampsOK
		c.tsRecent = s.TSVal
	} else {
		c.has &^= timestampsOK
	}
	if s.HasScale && !c.cfg.NoWindowScaling {
		c.has |= scaleOK
		c.sndScale = min(s.Scale, maxScale)
	} else {
		c.has &^= scaleOK
		c.rcvScale = 0
	}
	c.syncMSS()
}

// established runs when the handshake is complete (tcp_init_transfer).
func (c *Conn) established() {
	c.state = Established
	c.events |= Connected
	c.lastAck = c.now
	c.lastSent = c.now
	c.initReceive()
	c.initSend()
	c.cc.stamp = c.now
	// A SYN that had to be repeated more than once is a sign of congestion.
	if c.retransTotal > 1 && c.rec.undoMarked {
		c.cc.cwnd = 1
	}
	c.rec.undoMarked = false
	if k := c.cfg.KeepAlive; !k.Off {
		c.keepAt = c.now + k.Idle
	}
	if c.tx.empty() {
		c.tx.buf = nil // it held the SYN; many connections wait long for their first data
	}
}

// syncMSS computes the payload of a full segment (tcp_sync_mss): what the path and the
// peer take, and at most half the largest window seen. On a path so narrow that next to
// nothing would be left (tcp_min_snd_mss) packets are larger than it takes, and IP has to
// cut them.
func (c *Conn) syncMSS() {
	m := max(min(int(c.mtu)-int(c.cfg.ipHeader)-tcpHeader, int(c.mssClamp)), minSendMSS)
	if c.has&timestampsOK != 0 {
		m -= timestampOption
	}
	limit := int(c.maxWnd)
	if limit > defaultMSS {
		limit /= 2
	}
	if limit > 0 && m > limit {
		m = max(limit, 68-tcpHeader)
	}
	c.mss = uint16(m)
}

// die ends the connection; code is OK for a regular end (tcp_done).
func (c *Conn) die(code Code) {
	if c.state == StateClosed {
		return
	}
	c.state = StateClosed
	c.events |= Closed | Readable | Writable
	if code != OK {
		c.err = code
		c.events |= Failed
	}
	c.rtxAt, c.ackAt, c.keepAt = Never, Never, Never
	c.dropSendState()
	c.dropOutOfOrder()
	if c.flag&orphan != 0 {
		c.dropReceived()
	}
}

// dropReceived forgets what will not be read.
func (c *Conn) dropReceived() {
	c.rcvq = nil
	c.copied = c.rcvNxt
	if c.flag&finReceived != 0 {
		c.copied--
	}
	c.rmem = 0
}

func (c *Conn) dropSendState() {
	c.snd = nil
	c.tx = txQueue{first: none, last: none}
	c.rec.hint = none
	c.rec.sacked, c.rec.lost, c.rec.retrans = 0, 0, 0
	c.ep = nil
	c.rec.undoMarked = false
	c.cub = nil
}

// State is the state of RFC 9293 section 3.3.2.
func (c *Conn) State() State { return c.state }

// Err says why the connection failed. It does not change once set.
func (c *Conn) Err() Code { return c.err }

// Events returns what happened since the last call.
func (c *Conn) Events() Events {
	e := c.events
	c.events = 0
	return e
}

// OnlyReadable says that nothing has happened since the last call of Events but that data
// came, to a connection that stays open.
func (c *Conn) OnlyReadable() bool { return c.events&^Readable == 0 && c.state == Established }

// SetNoDelay turns Nagle's algorithm off, which it is in a new connection, as in
// Go, or on. Turning it off sends what it held back.
func (c *Conn) SetNoDelay(now Time, on bool) {
	c.now = now
	if !on {
		c.flag |= nagle
		return
	}
	c.flag &^= nagle
	c.push()
}

// SetKeepAlive changes the keep-alive. It counts from the last segment received.
func (c *Conn) SetKeepAlive(now Time, k KeepAlive) {
	c.now = now
	cfg := *c.cfg
	cfg.KeepAlive = k
	c.cfg = &cfg
	if !c.synchronized() || c.state == TimeWait || c.flag&orphan != 0 {
		return
	}
	if k.Off {
		c.keepAt = Never
		return
	}
	c.keepAt = max(c.now, c.lastHeard()+k.Idle)
}

// lastHeard is when the peer last gave a sign of life.
func (c *Conn) lastHeard() Time { return max(c.lastData, c.lastAck) }

// synchronized reports a state in which both sides know each other's sequence
// numbers.
func (c *Conn) synchronized() bool { return c.state >= Established }
