package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// requireConsistent recounts what a connection keeps count of.
func requireConsistent(t require.TestingT, c *Conn) {
	var sacked, lost, retrans, merged uint32
	q := &c.tx
	linked := map[uint32]bool{}
	prev := none
	for i := q.first; i != none; i = q.at(i).next {
		require.True(t, q.contains(i))
		require.Equal(t, prev, q.at(i).prev)
		if prev != none {
			require.False(t, sentAfter(q.at(prev).order, q.at(i).order), "the order of time")
		}
		linked[i] = true
		prev = i
	}
	require.Equal(t, prev, q.last)
	at := c.una
	for i := q.head; i != q.tail; i++ {
		s := q.at(i)
		require.Equal(t, linked[i], s.flag&txLinked != 0)
		if s.flag&txJoined != 0 && i != q.head {
			require.NotZero(t, len(s.data), "part of a buffer")
			require.Zero(t, q.at(i-1).flag&(txMerged|txSYN|txFIN), "part of the buffer of what is not there")
		}
		if i == q.head {
			require.Greater(t, s.end(), c.una, "an acknowledged segment is in the queue")
			require.LessOrEqual(t, s.seq, c.una)
		} else {
			require.Equal(t, at, s.seq, "a gap in the queue")
		}
		at = s.end()
		if s.flag&txMerged != 0 {
			merged++
			require.Equal(t, s.seq, s.end())
			continue
		}
		if s.flag&txSacked != 0 {
			sacked++
			require.Zero(t, s.flag&txLost, "a segment is acknowledged and lost")
		}
		if s.flag&txLost != 0 {
			lost++
		}
		if s.flag&txRetrans != 0 {
			retrans++
		}
	}
	if c.state != StateClosed && c.state != TimeWait {
		require.Equal(t, at, c.nxt, "the queue ends where sending ended")
	}
	require.Equal(t, merged, q.merged)
	require.Equal(t, lost, c.rec.lost, "lost")
	require.Equal(t, retrans, c.rec.retrans, "retransmitted")
	if c.has&sackOK != 0 {
		require.Equal(t, sacked, c.rec.sacked, "acknowledged selectively")
	}
	if n := c.snd.enqueued(); n > 0 {
		from := c.nxt
		for _, b := range c.snd.queue[c.snd.front:] {
			require.Greater(t, b.end, from, "an empty buffer is queued")
			from = b.end
		}
		if c.flag&finQueued != 0 {
			from++
		}
		require.Equal(t, from, c.end, "what is queued is what waits to be sent")
	} else if c.state >= Established && c.state != TimeWait {
		require.Zero(t, c.unsent(), "bytes wait in no buffer")
	}
	require.GreaterOrEqual(t, c.inFlight(), 0)
	require.LessOrEqual(t, c.una, c.nxt)
	require.LessOrEqual(t, c.nxt, c.end)
	if c.state != StateClosed {
		require.Positive(t, c.cc.cwnd)
	}

	var rmem int32
	for _, item := range c.received().items[c.received().head:] {
		rmem += trueSize(len(item))
	}
	if c.ooo != nil {
		last := c.rcvNxt
		for _, s := range c.ooo.segs {
			require.Greater(t, s.end(), last)
			require.GreaterOrEqual(t, s.seq, last, "overlapping or old data is queued")
			last = s.end()
			rmem += trueSize(len(s.data))
		}
	}
	require.Equal(t, rmem, c.rmem, "memory of the receive buffer")
	require.GreaterOrEqual(t, c.Readable(), 0)
}

// A stream is the bytes that one side sends: each tells its place.
func streamByte(i int) byte { return byte(i*7 + i>>8*13 + i>>16*31) }

var pattern = func() []byte {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = streamByte(i)
	}
	return b
}()

// A talker writes a stream in pieces, reads the other's in pieces, and ends.
type talker struct {
	e         *end
	rng       *rand.Rand
	size      int // of its stream
	written   int
	got       int
	piece     int // largest write and read
	pause     Time
	failed    bool
	ended     bool
	heardEnd  bool
	rightEdge uint64 // that the peer has offered
	readsFrom Time   // the program sleeps until then
	gaveUp    bool
}

// atEnd says that both programs have nothing left to wait for.
func (k *talker) atEnd(other *talker) bool {
	return k.heardEnd && other.heardEnd || k.gaveUp || other.gaveUp || k.failed || other.failed
}

func (k *talker) write() {
	for k.written < k.size && k.e.conn.CanWrite() {
		n := 1 + k.rng.IntN(k.piece)
		n = k.e.conn.Write(k.e.p.now, pattern[k.written:min(k.written+n, k.size)])
		if n == 0 {
			return
		}
		k.written += n
		if k.pause > 0 && k.rng.IntN(4) == 0 {
			k.e.p.after(Time(k.rng.Int64N(int64(k.pause))), func() { k.write(); k.e.settle() })
			return
		}
	}
	if k.written == k.size && !k.ended && k.e.conn.CanWrite() {
		k.ended = true
		k.e.conn.CloseWrite(k.e.p.now)
	}
}

func (k *talker) read(t require.TestingT) {
	for k.e.p.now >= k.readsFrom {
		n := k.e.conn.Read(k.e.p.now, scratch[:1+k.rng.IntN(k.piece)])
		if n == 0 {
			break
		}
		require.Equal(t, pattern[k.got:k.got+n], scratch[:n], "bytes from %d on", k.got)
		k.got += n
		if k.pause > 0 && k.rng.IntN(8) == 0 {
			k.e.p.after(Time(k.rng.Int64N(int64(k.pause))), func() { k.read(t); k.e.settle() })
			return
		}
	}
	if k.e.conn.EOF() && k.e.p.now >= k.readsFrom {
		k.heardEnd = true
	}
}

// fewLosses is a share of packets lost, of 1<<32, at which no connection may die: 5 %.
const fewLosses = 5 * 42949672

// TestStreamsArrive: over any path two streams arrive whole and in order, or the
// connection fails with a timeout, if the path is dark for long or loses more than a
// few packets; no packet is larger than the path is known to take; no byte is sent beyond the peer's window; the
// counts of the state machine are right at every step; and in the end nothing is
// left to do.
func TestStreamsArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			CongestionControl: rapid.SampledFrom([]string{"cubic", "reno"}).Draw(t, "cc"),
			NoSACK:            rapid.Bool().Draw(t, "nosack"),
			NoTimestamps:      rapid.Bool().Draw(t, "nots"),
			NoWindowScaling:   rapid.Bool().Draw(t, "noscale"),
			NoTailLossProbe:   rapid.Bool().Draw(t, "notlp"),
			KeepAlive:         KeepAlive{Off: rapid.Bool().Draw(t, "nokeepalive")},
		}
		if rapid.Bool().Draw(t, "small") {
			cfg.ReceiveBuffer = Buffer{Default: 4096, Max: 16384}
			cfg.SendBuffer = Buffer{Default: 4096, Max: 8192}
		}
		full, err := cfg.Complete()
		require.NoError(t, err)
		seed := rapid.Uint64().Draw(t, "seed")
		p := &path{}
		talkers := make([]*talker, 2)
		steps, worst := 0, uint32(0)
		narrow := rapid.SampledFrom([]int{0, 0, 576, 1000}).Draw(t, "narrow") // MTU further on, from a time on
		narrowFrom := Time(rapid.IntRange(0, 2000).Draw(t, "narrowfrom")) * time.Millisecond
		for i := range p.ends {
			e := &end{p: p, i: i, cfg: full, mtu: rapid.SampledFrom([]int{1500, 600, 9000}).Draw(t, "mtu"), timer: Never}
			p.ends[i] = e
			e.dir = direction{
				rng:    rand.NewPCG(seed, uint64(i)),
				delay:  Time(rapid.IntRange(0, 200).Draw(t, "delay")) * time.Millisecond / 2,
				jitter: Time(rapid.SampledFrom([]int{0, 0, 1, 20, 100}).Draw(t, "jitter")) * time.Millisecond,
				lossP:  uint32(rapid.SampledFrom([]int{0, 1, 5, 20, 40}).Draw(t, "loss")) * 42949672,
				dupP:   uint32(rapid.SampledFrom([]int{0, 0, 5, 30}).Draw(t, "dup")) * 42949672,
				rate:   int64(rapid.SampledFrom([]int{0, 1e5, 1e7}).Draw(t, "rate")),
			}
			k := &talker{
				e:     e,
				rng:   rand.New(rand.NewPCG(seed, uint64(i)+2)),
				size:  rapid.SampledFrom([]int{0, 1, 1000, 30_000, 200_000}).Draw(t, "size"),
				piece: rapid.SampledFrom([]int{10, 1000, 100_000}).Draw(t, "piece"),
				pause: Time(rapid.SampledFrom([]int{0, 0, 10, 1000}).Draw(t, "pause")) * time.Millisecond,
			}
			if k.piece == 10 {
				k.size = min(k.size, 1000)
			}
			talkers[i] = k
			e.onEvt = func(e *end, ev Events) {
				if ev&Failed != 0 {
					k.failed = true
				}
				if ev&(Connected|Writable) != 0 {
					k.write()
				}
				if ev&Readable != 0 {
					k.read(t)
				}
			}
			worst = max(worst, e.dir.lossP)
			told := false
			tooBig := func(s *Segment) bool {
				if narrow == 0 || p.now < narrowFrom || s.Size() <= narrow {
					return false
				}
				require.False(t, told, "more than the path takes: %s", describe(s))
				seq := s.Seq
				p.after(e.dir.delay, func() {
					told = e.conn.mtu <= uint16(narrow) || e.conn.Outstanding(seq) && e.conn.synchronized()
					e.conn.TooBig(p.now, seq, narrow)
					e.settle()
				})
				return true
			}
			e.dir.drop = func(_ int, s *Segment) bool { return tooBig(s) }
			e.dir.watch = func(s *Segment) {
				require.LessOrEqual(t, s.Size(), e.mtu, "more than a packet: %s", describe(s))
				if len(s.Payload) > 0 && k.rightEdge > 0 {
					require.LessOrEqual(t, s.Seq+uint64(len(s.Payload)), k.rightEdge, "beyond the window: %s", describe(s))
				}
				require.LessOrEqual(t, s.Size(), p.ends[1-e.i].mtu, "more than the peer takes: %s", describe(s))
			}
			e.onInput = func(s *Segment) {
				if s.Flags&ACK != 0 && s.Flags&RST == 0 {
					w := uint64(s.Window)
					k.rightEdge = max(k.rightEdge, s.Ack+w)
				}
			}
		}
		p.ends[1].listen = true
		dark := rapid.Bool().Draw(t, "blackout")
		if dark {
			from := Time(rapid.IntRange(0, 5000).Draw(t, "from")) * time.Millisecond
			until := from + Time(rapid.SampledFrom([]int{1, 60, 600}).Draw(t, "dark"))*time.Second
			for _, e := range p.ends {
				tooBig := e.dir.drop
				e.dir.drop = func(n int, s *Segment) bool { return p.now >= from && p.now < until || tooBig(n, s) }
			}
		}
		p.client().dial()
		for len(p.events) > 0 && p.now < 10*time.Hour {
			p.run(p.events[0].at)
			if steps++; steps%16 == 0 {
				for _, e := range p.ends {
					if e.conn != nil {
						requireConsistent(t, e.conn)
					}
				}
			}
		}
		require.Less(t, p.now, 10*time.Hour, "it never ends: %s %s", dump(p.ends[0]), dump(p.ends[1]))
		for i, k := range talkers {
			other := talkers[1-i]
			if k.e.conn == nil {
				require.True(t, other.failed, "the SYN never arrived")
				continue
			}
			requireConsistent(t, k.e.conn)
			require.LessOrEqual(t, k.got, other.written)
			if k.failed {
				require.True(t, dark || worst > fewLosses, "side %d gave up: %s", i, dump(k.e))
				require.Contains(t, []Code{TimedOut, Reset, BrokenPipe}, k.e.conn.Err())
				continue
			}
			if other.failed {
				continue // the last acknowledgements were lost, or it is still waiting
			}
			require.True(t, k.heardEnd, "side %d did not hear the end: %s", i, dump(k.e))
			require.Equal(t, other.size, k.got)
		}
	})
}

func dump(e *end) string {
	if e.conn == nil {
		return "none"
	}
	return fmt.Sprintf("%+v timer %v", e.conn.Info(), e.conn.NextTimer())
}

// TestArbitrarySegments: whatever arrives in whatever state, and whatever the
// program does, the state machine does not panic and its counts stay right.
func TestArbitrarySegments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, err := Config{
			NoSACK:       rapid.Bool().Draw(t, "nosack"),
			NoTimestamps: rapid.Bool().Draw(t, "nots"),
			KeepAlive:    KeepAlive{Off: true},
		}.Complete()
		require.NoError(t, err)
		out := &sink{}
		now := time.Second
		near := func(base uint64, label string) uint64 {
			d := rapid.SampledFrom([]int64{0, 0, 0, 1, -1, 500, 1448, 2896, 14480, -500, -1448, 60000, -60000, 1 << 33}).Draw(t, label)
			if d < 0 && base < uint64(-d) {
				return 0
			}
			return base + uint64(d)
		}
		var c *Conn
		if rapid.Bool().Draw(t, "dial") {
			c = Dial(cfg, out, 1500, 0, now)
		} else {
			c = Accept(cfg, out, 1500, 0, now, &Segment{Flags: SYN, MSS: 1460, Window: 65000, SACKPermitted: true, HasTimestamps: true, TSVal: 5})
		}
		segment := func() *Segment {
			s := &Segment{
				Flags:         Flags(rapid.SampledFrom([]int{16, 16, 16, 16, 16, 17, 18, 2, 4, 20, 0, 31}).Draw(t, "flags")),
				Seq:           near(c.rcvNxt, "seq"),
				Ack:           near(rapid.SampledFrom([]uint64{c.una, c.nxt, (c.una + c.nxt) / 2}).Draw(t, "ackbase"), "ack"),
				Window:        uint32(rapid.SampledFrom([]int{0, 1, 1000, 65000, 1 << 20}).Draw(t, "win")),
				Payload:       pattern[:rapid.SampledFrom([]int{0, 0, 1, 100, 1448, 3000}).Draw(t, "len")],
				MSS:           uint16(rapid.SampledFrom([]int{0, 1, 536, 1460}).Draw(t, "mss")),
				SACKPermitted: true,
				HasTimestamps: rapid.Bool().Draw(t, "ts"),
				TSVal:         now, TSEcr: stamp(now - Time(rapid.IntRange(0, 3).Draw(t, "echo"))*100*time.Millisecond),
				HasScale: true, Scale: 20,
			}
			s.SACKLen = uint8(rapid.IntRange(0, 4).Draw(t, "sacks"))
			for i := range s.SACKLen {
				from := near(c.una, "sackfrom")
				s.SACK[i] = Block{from, near(from+1448, "sackto")}
			}
			return s
		}
		t.Repeat(map[string]func(*rapid.T){
			"segment": func(*rapid.T) { take(t, c, now, segment(), false) },
			"handshake": func(*rapid.T) {
				if c.state == SynSent || c.state == SynReceived {
					s := &Segment{Flags: ACK, Seq: c.rcvNxt, Ack: 1, Window: 65000}
					if c.state == SynSent {
						s = &Segment{Flags: SYN | ACK, Ack: 1, Window: 65000, MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 5, TSEcr: stamp(now)}
					}
					take(t, c, now, s, false)
				}
			},
			"write": func(*rapid.T) { c.Write(now, pattern[:rapid.SampledFrom([]int{1, 100, 1448, 20000}).Draw(t, "n")]) },
			"read":  func(*rapid.T) { c.Read(now, scratch[:rapid.IntRange(1, 20000).Draw(t, "n")]) },
			"timer": func(*rapid.T) {
				if next := c.NextTimer(); next != Never {
					now = max(now, next)
					c.Timeout(now)
				}
			},
			"time": func(*rapid.T) {
				now += Time(rapid.IntRange(1, 200).Draw(t, "ms")) * time.Millisecond
				c.Timeout(now)
			},
			"closewrite": func(*rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
					c.CloseWrite(now)
				}
			},
			"close": func(*rapid.T) {
				if rapid.IntRange(0, 19).Draw(t, "really") == 0 {
					c.Close(now)
				}
			},
			"unreachable": func(*rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
					c.Unreachable(now, near(c.una, "of"), HostUnreachable, Reaction{true, true})
				}
			},
			"toobig": func(*rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
					c.TooBig(now, near(c.una, "of"), rapid.SampledFrom([]int{0, 500, 1400}).Draw(t, "mtu"))
				}
			},
			"": func(t *rapid.T) {
				requireConsistent(t, c)
				c.Events()
				c.Info()
				require.GreaterOrEqual(t, c.NextTimer(), now, "a timer is overdue")
			},
		})
	})
}

// A sink takes segments and forgets them.
type sink struct {
	s Segment
	fresh
}

func (k *sink) NewSegment() *Segment {
	k.s = Segment{}
	return &k.s
}
func (k *sink) Send(*Conn, *Segment)        {}
func (k *sink) SendRun(c *Conn, s *Segment) { SendApart(k, c, s) }
