package tcp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBuffersAreCutAnew: however a buffer is laid out anew, in more segments or fewer, the queue holds the
// same bytes without a gap, and one segment ends where it was to be cut.
func TestBuffersAreCutAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	more, fewer := 0, 0
	for range 100 {
		p := newPair(t, Config{})
		c := p.conns[0]
		c.Write(p.now, pattern[:1+rng.IntN(14_000)])
		if rng.IntN(2) == 0 {
			c.CloseWrite(p.now)
		}
		before := c.tx.bytes()
		for range 5 {
			i := c.tx.head + uint32(rng.IntN(int(c.tx.tail-c.tx.head)))
			for c.tx.at(i).flag&(txJoined|txMerged) != 0 {
				i--
			}
			mss := 100 + rng.IntN(1400)
			count, size, _ := c.buffer(i, mss)
			if size == 0 { // FIN alone
				continue
			}
			most := 1 + rng.IntN(size)
			cut := c.tx.at(i).seq + uint64(most)
			first, n := c.cutBuffer(i, count, size, mss, most)
			requireConsistent(t, c)
			require.Equal(t, before, c.tx.bytes())
			ends := false
			for k := range n {
				s := c.tx.at(first + k)
				require.LessOrEqual(t, len(s.data), mss)
				ends = ends || s.seq+uint64(len(s.data)) == cut
			}
			require.True(t, ends)
			if n > count {
				more++
			} else if n < count {
				fewer++
			}
		}
	}
	require.Greater(t, more, 20)
	require.Greater(t, fewer, 20)
}

// bytes are those of the segments.
func (q *txQueue) bytes() []byte {
	var all []byte
	for i := q.head; i != q.tail; i++ {
		all = append(all, q.at(i).data...)
	}
	return all
}

// TestOverflowOffersNoWindow: what comes in tiny segments takes more memory than was offered. What has no
// room any more is dropped, and the acknowledgement takes the window back (ICSK_ACK_NOMEM).
func TestOverflowOffersNoWindow(t *testing.T) {
	p := newPath(t, Config{ReceiveBuffer: Buffer{Default: 8192, Max: 8192}}, 20*ms)
	p.client().dial()
	p.run(100 * ms)
	from, to := p.client().conn, p.server().conn
	for range 20 { // 768 bytes each
		p.client().write(zeros[:1])
		p.run(p.now + 100*ms)
		if from.inFlight() > 0 {
			break
		}
		require.Positive(t, from.wnd)
	}
	require.Positive(t, from.inFlight(), "the last was dropped")
	require.Zero(t, from.wnd)
	p.server().readAll()
	p.run(p.now + 2*time.Second)
	require.Positive(t, from.wnd)
	require.Equal(t, from.nxt, to.rcvNxt, "it is there now")
}

// comes has n bytes arrive that continue the stream and echo a timestamp that was sent a round-trip time before.
func comes(t *testing.T, c *Conn, at Time, n int, rtt Time) {
	t.Helper()
	take(t, c, at, &Segment{Seq: c.rcvNxt, Ack: c.una, Flags: ACK, Payload: make([]byte, n), Window: c.wnd, HasTimestamps: c.has&timestampsOK != 0,
		TSVal: stamp(at), TSEcr: stamp(at - rtt), ISS: c.irs, IRS: c.iss}, false)
}

func readsAll(c *Conn) {
	c.Take(make([]byte, c.Readable()))
	c.Push(c.now)
}

// TestReceiversRoundTrip: how the receiver estimates the round-trip time by timestamps (tcp_rcv_rtt_measure_ts, tcp_rcv_rtt_update).
func TestReceiversRoundTrip(t *testing.T) {
	c := alikeRunner(t).conn
	at := c.now + time.Second
	for _, step := range []struct {
		why    string
		later  Time // since the segment before
		n      int
		rtt    Time
		unread bool
		want   Time
	}{
		{why: "an acknowledgement without data", n: 0, rtt: 40 * ms},
		{why: "the answer behind it echoes the same timestamp", later: ms, n: 988, rtt: 41 * ms},
		{why: "the first sample", later: 100 * ms, n: 988, rtt: 60 * ms, want: 60 * ms},
		{why: "a shorter one counts at once", later: 100 * ms, n: 988, rtt: 30 * ms, want: 30 * ms},
		{why: "a longer one by an eighth", later: 100 * ms, n: 988, rtt: 110 * ms, want: 40 * ms, unread: true},
		{why: "and not while something waits for the program", later: 100 * ms, n: 988, rtt: 120 * ms, want: 40 * ms},
		{why: "a small segment is none", later: 100 * ms, n: 100, rtt: 10 * ms, want: 40 * ms},
		{why: "and has used its timestamp up", later: ms, n: 988, rtt: 11 * ms, want: 40 * ms},
		{why: "nor is what the clock cannot measure", later: 100 * ms, n: 988, rtt: 0, want: 40 * ms},
	} {
		at += step.later
		comes(t, c, at, step.n, step.rtt)
		require.Equal(t, step.want<<3, c.tune.rtt8, step.why)
		if !step.unread {
			readsAll(c)
		}
	}
}

// TestReceiversRoundTripByWindow: without timestamps it is how long a full window takes, and with them no longer than that
// (tcp_rcv_rtt_measure).
func TestReceiversRoundTripByWindow(t *testing.T) {
	for _, timestamps := range []bool{false, true} {
		c := alikeRunner(t).conn
		estimate := func() Time { return c.tune.rtt8 >> 3 }
		window := func(takes Time) {
			for end, from := c.tune.rttSeq, c.now; c.rcvNxt < end; readsAll(c) {
				at := from
				if c.rcvNxt+988 >= end {
					at += takes
				}
				comes(t, c, at, 988, 5*time.Second)
			}
		}
		if !timestamps {
			c.has &^= timestampsOK
		}
		comes(t, c, c.now+10*time.Second, 988, 5*time.Second)
		readsAll(c)
		require.Equal(t, timestamps, estimate() > 0)
		window(40 * ms)
		require.Equal(t, 40*ms, estimate())
		window(50 * ms)
		require.Equal(t, 40*ms, min(estimate(), 40*ms))
		require.Equal(t, timestamps, estimate() > 40*ms, "that is by timestamps")
		window(30 * ms)
		require.Equal(t, 30*ms, estimate())
	}
}

// TestBufferGrows: what the program reads in a round trip makes the buffer larger, at once four times what has become more of it.
// Of segments that it reads at once only the first counts, and what waits behind it counts against it (tcp_rcv_space_adjust).
func TestBufferGrows(t *testing.T) {
	c := alikeRunner(t).conn
	at := c.now + time.Second
	c.tune.rtt8, c.tune.at, c.tune.space = 10*ms<<3, at-10*ms, 10_000
	before := c.rcvbuf
	for range 50 {
		comes(t, c, at, 988, 0)
	}
	readsAll(c)
	require.Equal(t, before, c.rcvbuf)
	require.EqualValues(t, 10_000, c.tune.space)

	comes(t, c, at+10*ms, 988, 0)
	readsAll(c)
	const read = 50 * 988
	require.EqualValues(t, read, c.tune.space)
	require.EqualValues(t, (2*read+2*(2*read*(read-10_000)/10_000))*256/int(c.scalingRatio), c.rcvbuf)
	require.EqualValues(t, c.winFromSpace(int(c.rcvbuf)), c.wndClamp)
}

// TestBufferGrowsForWhoReadsAtOnce: what comes at one instant a program that had read everything can read as it comes, so nothing waits behind the
// first segment. What it reads later had to wait, and so had what a gap kept back.
func TestBufferGrowsForWhoReadsAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		late, gap bool
		grows     bool
	}{
		"at once":     {grows: true},
		"later":       {late: true},
		"after a gap": {gap: true},
	} {
		c := alikeRunner(t).conn
		at := c.now + time.Second
		c.tune.rtt8, c.tune.at, c.tune.space = 10*ms<<3, at, 20_000
		for range 30 {
			comes(t, c, at, 988, 0)
		}
		readsAll(c)
		at += 10 * ms
		if row.gap {
			for i := range 19 {
				c.Input(at, &Segment{Seq: c.rcvNxt + 988*uint64(1+i), Ack: c.una, Flags: ACK, Payload: make([]byte, 988), Window: c.wnd, HasTimestamps: true,
					TSVal: stamp(at), TSEcr: stamp(at), ISS: c.irs, IRS: c.iss})
			}
			comes(t, c, at, 988, 0)
		} else {
			for range 20 {
				comes(t, c, at, 988, 0)
			}
		}
		if row.late {
			c.now = at + ms
		}
		require.Equal(t, 20*988, c.Readable())
		readsAll(c)
		require.Equal(t, row.grows, c.tune.space > 20_000, name)
	}
}

// TestBufferGrowsForGaps: what is out of order has room beside what the program reads, if there is one (tcp_data_queue_ofo).
func TestBufferGrowsForGaps(t *testing.T) {
	for _, orphaned := range []bool{false, true} {
		c := alikeRunner(t).conn
		c.tune.space = 60_000
		before := c.rcvbuf
		if orphaned {
			c.flag |= orphan
		}
		c.Input(c.now, &Segment{Seq: c.rcvNxt + 20_000, Ack: c.una, Flags: ACK, Payload: make([]byte, 988), Window: c.wnd, HasTimestamps: true,
			TSVal: stamp(c.now), TSEcr: c.rcvEcho, ISS: c.irs, IRS: c.iss})
		want := int32((2*60_000 + 20_988) * 256 / int(c.scalingRatio))
		require.Greater(t, want, before)
		if orphaned {
			want = before
		}
		require.Equal(t, want, c.rcvbuf)
	}
}
