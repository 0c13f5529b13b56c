// Package tcp implements TCP as a state machine without I/O. Its inputs are segments, the program's calls and the time; its outputs are
// segments, events and deadlines. It has no goroutine, no clock and no lock. Its owner must not call it concurrently, and must pass times
// that never decrease. Where Linux and the RFCs differ, it follows Linux. Comments name the RFC's section or the kernel's function.
package tcp

import "math"

// Output receives the segments of connections.
type Output interface {
	// NewSegment returns a zero segment.
	NewSegment() *Segment
	// Send takes ownership of s. It must not call into c.
	Send(c *Conn, s *Segment)
	// SendRun is like Send, for a run of several segments. An implementation can call SendApart.
	SendRun(c *Conn, s *Segment)
	// NewBlock returns memory for n bytes of the program's data. The memory need not be zeroed.
	NewBlock(n int) []byte
	// RetireBlock returns memory that came from NewBlock. Segments still share the memory. It may be reused once the peer's program has
	// read everything before the sequence number end, because nobody looks at that data afterwards.
	RetireBlock(block []byte, end uint64)
}

// A Conn is one end of a connection.
//
// State that an idle connection does not need is allocated separately and dropped: the queues, and the state of recovery and of CUBIC.
type Conn struct {
	cfg *Config
	out Output
	now Time // time of the current call

	// Sequence numbers of our stream: data below una is acknowledged, data below nxt is sent, data below end (with the FIN) is written by
	// the program.
	una, nxt, end uint64
	wl1           uint64      // Seq of the segment that last set the send window
	snd           *sendBuffer // nil if nothing waits to be sent or acknowledged
	tx            txQueue

	// Sequence numbers of the peer's stream: the next one expected, the last one that we acknowledged, the last one that the program read.
	rcvNxt, rcvWup, copied uint64
	rcvMax                 uint64        // right edge of the largest window offered
	iss, irs               uint32        // initial sequence numbers, ours and the peer's
	rcvq                   *receiveQueue // nil if nothing was received for a while
	ooo                    *outOfOrder   // nil if nothing is out of order

	// Timers. The retransmission timer has several purposes, one at a time.
	rtxAt, ackAt, keepAt        Time
	lastSent, lastData, lastAck Time // when data was sent, data was received, an acknowledgement was received
	lastSegment                 Time // when any segment was sent
	ato                         Time // delay of acknowledgements
	tsRecent, rcvEcho           Time // timestamp to echo; timestamp that the peer echoed last
	lastOutOfWindow             Time // when an unacceptable segment was last answered, plus 1
	probedSince                 Time // when a closed window was first probed; 0: the window is open

	rtt        rttEstimate
	cc         congestion
	cub        *cubicState
	rack       rackState
	rec        recovery
	ep         *episode // nil before the first sign of a loss
	tune       bufferTuning
	sndbuf     int32  // limit in bytes
	rcvbuf     int32  // limit, counted as Linux does: see trueSize
	rmem       int32  // the part of rcvbuf in use
	taken      int32  // bytes read that Push has not dealt with yet
	takenFirst int32  // the part of taken that the first segment had
	rcvMSS     uint16 // estimate of the peer's segment size
	lastLen    uint16 // length of the last segment of unusual size

	wnd, maxWnd            uint32
	rcvWnd                 uint32 // window offered last, counted from rcvWup
	rcvSSThresh, wndClamp  uint32
	segsIn, segsOut        uint32
	retransTotal, rtoTotal uint32

	mss, mssClamp, advMSS uint16 // payload of a full segment; the peer's limit; our announcement
	mtu                   uint16 // MTU of the path, as far as known
	quick                 uint8  // acknowledgements still to be sent without delay
	backoff, retries      uint8  // doublings of the timeout; timeouts in a row
	probes                uint8  // unanswered window probes or keep-alive probes
	sndScale, rcvScale    uint8
	scalingRatio          uint8 // share of the buffer offered as window, in 256ths

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
	finQueued   connFlags = 1 << iota // the program ended its stream; end counts the FIN
	finReceived                       // the peer ended its stream
	readShut                          // shutdown(SHUT_RD), or the peer's FIN
	orphan                            // the program closed the connection
	nagle                             // SetNoDelay(false)
	sndLocked                         // SetWriteBuffer
	rcvLocked                         // SetReadBuffer
	blocked                           // a Write found the buffer full
	passive                           // made by Accept
	progress                          // the peer acknowledged something: see TakeProgress
	morePart                          // another part of this joined segment follows
	laterPart                         // this part is not the first of its joined segment
	awaited                           // the program had read everything, so it can read the data of lastData as it arrives
)

type ackFlags uint8

const (
	ackScheduled ackFlags = 1 << iota
	ackPushed             // a segment below the MSS, or with PSH, arrived
	ackPushed2            // a second one arrived
	ackNow
	ackNoMem // the receive buffer overflowed: offer a window of 0
	ackTimer
	pingpong // the program answers what it receives, so an acknowledgement can ride on the answer
)

// Dial starts a connection by sending the SYN. mtu is the largest packet, in bytes and with its IP header, that is known to pass: see
// [Conn.SetMTU]. iss is the initial sequence number. cfg comes from [Config.Complete].
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

// Accept answers the SYN syn of a new peer with a SYN-ACK. The connection stays in SynReceived until the peer's acknowledgement arrives.
// The caller may drop that acknowledgement to imitate a full accept queue.
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
	minMSS     = 88  // guess of a peer's MSS: TCP_MIN_MSS
	minSendMSS = 48  // includes options: net.ipv4.tcp_min_snd_mss
	minAdvMSS  = 256 // net.ipv4.route.min_adv_mss
	defaultMSS = 536 // RFC 9293 section 3.7.1
	maxScale   = 14  // RFC 7323 section 2.3
)

// handshakeOptions adopts the options that the peer's SYN or SYN-ACK allows.
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
	// A SYN that was repeated more than once is a sign of congestion.
	if c.retransTotal > 1 && c.rec.undoMarked {
		c.cc.cwnd = 1
	}
	c.rec.undoMarked = false
	if k := c.cfg.KeepAlive; !k.Off {
		c.keepAt = c.now + k.Idle
	}
	if c.tx.empty() {
		c.tx.buf = nil // it held the SYN; many connections wait a long time for their first data
	}
}

// syncMSS computes the payload of a full segment (tcp_sync_mss). The path and the peer limit it, and it is at most half the largest window
// seen. It has a minimum (tcp_min_snd_mss): on a very narrow path packets exceed the path's MTU, and IP must fragment them.
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

// die ends the connection. code is OK for a regular end (tcp_done).
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

// dropReceived drops received data that the program will not read.
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

// State returns the connection's state, one of those in RFC 9293 section 3.3.2.
func (c *Conn) State() State { return c.state }

// Err returns the reason why the connection failed. It does not change once set.
func (c *Conn) Err() Code { return c.err }

// Events returns the events since the last call.
func (c *Conn) Events() Events {
	e := c.events
	c.events = 0
	return e
}

// OnlyReadable reports whether the arrival of data is the only event since the last call of Events, and the connection stays open.
func (c *Conn) OnlyReadable() bool { return c.events&^Readable == 0 && c.state == Established }

// SetNoDelay turns Nagle's algorithm off (on is true) or on. It is off in a new connection, as in Go. Turning it off sends the data that it
// held back.
func (c *Conn) SetNoDelay(now Time, on bool) {
	c.now = now
	if !on {
		c.flag |= nagle
		return
	}
	c.flag &^= nagle
	c.push()
}

// SetKeepAlive changes the keep-alive parameters. The idle time counts from the last segment received.
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

// lastHeard returns when the peer last gave a sign of life.
func (c *Conn) lastHeard() Time { return max(c.lastData, c.lastAck) }

// synchronized reports whether both sides know each other's sequence numbers.
func (c *Conn) synchronized() bool { return c.state >= Established }
