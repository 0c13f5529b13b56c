package tcp

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// TestRTTEstimate follows a trace by hand: smoothed with 1/8, deviation with 1/4, and
// with 1/32 below the mean (tcp_rtt_estimator).
func TestRTTEstimate(t *testing.T) {
	var r rttEstimate
	una, nxt := uint64(0), uint64(10)
	for i, s := range []struct{ sample, srtt, mdev, rttvar, rto Time }{
		{100 * ms, 100 * ms, 50 * ms, 200 * ms, 300 * ms},                                   // R, R/2, at least 200 ms
		{180 * ms, 110 * ms, 57500 * time.Microsecond, 230 * ms, 340 * ms},                  // error 80: 50 + (80 - 50)/4
		{30 * ms, 100 * ms, 57500*time.Microsecond + 703125, 232812500, 100*ms + 232812500}, // error 80 below: 22.5/32 more
		{100 * ms, 100 * ms, 43652343750 / 1000, 232812500, 332812500},                      // error 0: a quarter less, rttvar waits
	} {
		r.sample(s.sample, 200*ms, una, nxt)
		r.setRTO(120 * time.Second)
		require.Equal(t, s.srtt, r.srtt8/8, "%d", i)
		require.InDelta(t, s.mdev, r.mdev/4, 2, "%d", i)
		require.InDelta(t, s.rttvar, r.rttvar, 4, "%d", i)
		require.InDelta(t, s.rto, r.rto, 4, "%d", i)
	}
	// Once in a round trip the timeout falls, by a quarter of the difference to the
	// largest deviation in it.
	una, nxt = 11, 20
	before := r.rttvar
	r.sample(100*ms, 200*ms, una, nxt)
	require.Equal(t, before, r.rttvar, "this round trip had the large deviation")
	una, nxt = 21, 30
	r.sample(100*ms, 200*ms, una, nxt)
	require.Equal(t, before-(before-200*ms)/4, r.rttvar)
	require.Equal(t, 200*ms, r.mdevMax)

	r.srtt8 = 8 * 200 * time.Second
	r.setRTO(120 * time.Second)
	require.Equal(t, 120*time.Second, r.rto)
}

// TestMinRTT: the minimum of five minutes.
func TestMinRTT(t *testing.T) {
	var r rttEstimate
	require.Zero(t, r.min())
	r.updateMin(0, 50*ms)
	require.Equal(t, 50*ms, r.min())
	r.updateMin(time.Second, 20*ms)
	require.Equal(t, 20*ms, r.min())
	for at := 2 * time.Second; at < 300*time.Second; at += time.Second {
		r.updateMin(at, 80*ms)
		require.Equal(t, 20*ms, r.min(), at)
	}
	for at := 300 * time.Second; at < 310*time.Second; at += time.Second {
		r.updateMin(at, 80*ms)
	}
	require.Equal(t, 80*ms, r.min())
}

// TestCubicAfterLoss compares the window after one loss with RFC 9438's closed form,
// W(t) = C (t-K)^3 + W_max and K = cbrt(W_max (1-beta)/C), and with Reno's below it.
func TestCubicAfterLoss(t *testing.T) {
	for _, c := range []struct {
		wmax uint32
		rtt  Time
	}{{100, 200 * ms}, {1000, 100 * ms}, {4000, 50 * ms}} {
		var q cubicState
		q.reset()
		g := congestion{cwnd: c.wmax, ssthresh: infinite}
		g.ssthresh = q.reduce(g.cwnd)
		g.cwnd = g.ssthresh
		beta := float64(cubicBeta) / 1024
		require.InDelta(t, beta*float64(c.wmax), g.cwnd, 1)
		q.delayMin = c.rtt

		now := time.Hour
		start := now
		k := math.Cbrt(float64(c.wmax) * (1 - beta) / 0.4)
		for now < start+Time(1.5*k*float64(time.Second)) {
			// One round trip: each segment acknowledged, evenly spaced.
			w := g.cwnd
			for range w {
				now += c.rtt / Time(w)
				g.growLinear(q.update(now, g.cwnd, 1), 1)
			}
			// Linux aims at where the function will be in a round trip.
			at := func(elapsed Time) float64 {
				cubic := 0.4*math.Pow(elapsed.Seconds()-k, 3) + float64(c.wmax)
				reno := beta*float64(c.wmax) + 3*(1-beta)/(1+beta)*float64(elapsed)/float64(c.rtt)
				return max(cubic, reno)
			}
			require.GreaterOrEqual(t, float64(g.cwnd), at(now-start-c.rtt)-2, "W_max %d at %v", c.wmax, now-start)
			require.LessOrEqual(t, float64(g.cwnd), at(now-start+c.rtt)+2, "W_max %d at %v", c.wmax, now-start)
		}
	}
}

// TestCubicReno: where the window is small CUBIC is Reno with the same average: it
// grows by 3(1-beta)/(1+beta) in a round trip.
func TestCubicReno(t *testing.T) {
	var q cubicState
	q.reset()
	g := congestion{cwnd: 20, ssthresh: infinite}
	g.ssthresh = q.reduce(g.cwnd)
	g.cwnd = g.ssthresh
	now := time.Hour
	const rounds = 20
	for range rounds {
		w := g.cwnd
		for range w {
			now += 100 * ms / Time(w)
			g.growLinear(q.update(now, g.cwnd, 1), 1)
		}
	}
	require.InDelta(t, 14+0.53*rounds, g.cwnd, 2)
}

// TestCubicBeforeLoss: a flow that left slow start without a loss grows by 5 % in a
// round trip, since the function knows no plateau yet.
func TestCubicBeforeLoss(t *testing.T) {
	var q cubicState
	q.reset()
	require.EqualValues(t, 20, q.update(time.Hour, 1000, 1))
	q.reduce(1000)
	require.EqualValues(t, 100, q.lastMax/10)
	require.Greater(t, q.update(2*time.Hour, 1000, 1), uint32(20))
}

func TestCubicFastConvergence(t *testing.T) {
	var q cubicState
	q.reset()
	require.EqualValues(t, 70, q.reduce(100))
	require.EqualValues(t, 100, q.lastMax)
	require.EqualValues(t, 35, q.reduce(51))
	require.EqualValues(t, 51*(1024+717)/2048, q.lastMax, "a shrinking flow makes room")
	require.EqualValues(t, 2, q.reduce(1), "at least two segments")
}

func TestCubeRoot(t *testing.T) {
	for _, v := range []uint64{0, 1, 7, 8, 9, 26, 27, 1 << 30, 1<<63 - 1, math.MaxUint64} {
		r := cubeRoot(v)
		require.LessOrEqual(t, r*r*r, v)
		if r < 2642245 {
			require.Greater(t, (r+1)*(r+1)*(r+1), v)
		}
	}
}

// TestReduction: PRR halves what is in flight over one round trip, one segment sent
// for two delivered (RFC 6937).
func TestReduction(t *testing.T) {
	cfg, err := Config{CongestionControl: "reno"}.Complete()
	require.NoError(t, err)
	c := newConn(cfg, &sink{}, 1500, 0, 0)
	c.mss = 1000
	c.cc.cwnd = 20
	for i := range 20 {
		_, s := c.tx.add()
		s.seq, s.data = uint64(i*1000), zeros[:1000]
	}
	c.startReduction()
	require.EqualValues(t, 10, c.cc.ssthresh)
	sent := 0
	for delivered := 1; delivered <= 19; delivered++ {
		c.rec.sacked++
		c.reduceCwnd(1, false, false)
		if room := int(c.cc.cwnd) - c.inFlight(); room > 0 {
			c.ep.prrOut += uint32(room)
			sent += room
			for range room {
				_, s := c.tx.add()
				s.data = zeros[:1000]
			}
		}
	}
	require.Equal(t, 9, sent)
	require.Equal(t, 10, c.inFlight(), "down to the threshold")
}

func TestSegmentSize(t *testing.T) {
	for _, c := range []struct {
		s    Segment
		size int
		why  string
	}{
		{Segment{Flags: ACK}, 40, "IPv4 and TCP"},
		{Segment{Flags: ACK, inner: inner{ipHeader: ipv6Header}}, 60, "IPv6"},
		{Segment{Flags: ACK, HasTimestamps: true, Payload: zeros[:1448]}, 1500, "a full packet"},
		{Segment{Flags: ACK, HasTimestamps: true, SACKLen: 3}, 80, "the options are full"},
		{Segment{Flags: ACK, SACKLen: 4}, 76, "four blocks"},
		{Segment{Flags: SYN, MSS: 1460, SACKPermitted: true, HasTimestamps: true, HasScale: true}, 60, "Linux's SYN"},
		{Segment{Flags: SYN, MSS: 1460, SACKPermitted: true}, 48, "without timestamps"},
	} {
		require.Equal(t, c.size, c.s.Size(), c.why)
	}
	require.Equal(t, 2, (&Segment{Flags: SYN | FIN}).Len())
	require.Equal(t, 11, (&Segment{Flags: FIN | ACK, Payload: zeros[:10]}).Len())
}

func TestResetFor(t *testing.T) {
	var out Segment
	require.True(t, ResetFor(&Segment{Flags: SYN, Seq: 5, inner: inner{ipHeader: ipv6Header}}, &out))
	require.Equal(t, Segment{Flags: RST | ACK, Ack: 6, inner: inner{ipHeader: ipv6Header}}, out)
	out = Segment{}
	require.True(t, ResetFor(&Segment{Flags: ACK | PSH, Seq: 5, Ack: 77, Payload: zeros[:10]}, &out))
	require.Equal(t, Segment{Flags: RST, Seq: 77}, out)
	require.False(t, ResetFor(&Segment{Flags: RST}, &out))
}

func TestFlagsString(t *testing.T) {
	require.Equal(t, "SA", (SYN | ACK).String())
	require.Equal(t, "FPA", (FIN | PSH | ACK).String())
	require.Equal(t, "RA", (RST | ACK).String())
	require.Equal(t, "", Flags(0).String())
}

func TestConfig(t *testing.T) {
	def, err := Config{}.Complete()
	require.NoError(t, err)
	require.Equal(t, "cubic", def.CongestionControl)
	require.Equal(t, []int{10, 6, 4, 5, 15, 8, 3}, []int{def.InitialCwnd, def.SynRetries, def.SynLinearTimeouts,
		def.SynAckRetries, def.Retries2, def.OrphanRetries, def.Reordering})
	require.Equal(t, []Time{time.Second, 200 * ms, 120 * time.Second, 60 * time.Second, 60 * time.Second, 40 * ms, 200 * ms},
		[]Time{def.RTOInitial, def.RTOMin, def.RTOMax, def.FinTimeout, def.TimeWait, def.DelayedAckMin, def.DelayedAckMax})
	require.Equal(t, KeepAlive{Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}, def.KeepAlive)
	require.Equal(t, Buffer{4096, 16384, 4 << 20}, def.SendBuffer)
	require.Equal(t, Buffer{4096, 131072, 6 << 20}, def.ReceiveBuffer)

	none, err := Config{SynRetries: -1, SynLinearTimeouts: -1, SynAckRetries: -1}.Complete()
	require.NoError(t, err)
	require.Zero(t, none.SynRetries+none.SynLinearTimeouts+none.SynAckRetries)

	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{CongestionControl: "bbr"}, `tcp: CongestionControl is "bbr", want "cubic" or "reno"`},
		{Config{InitialCwnd: -1}, "tcp: InitialCwnd is -1, want 1 to 65536"},
		{Config{SynRetries: 128}, "tcp: SynRetries is 128, want 0 to 127"},
		{Config{RTOMin: -1}, "tcp: RTOMin is -1ns, want 1ms to 1h0m0s"},
		{Config{RTOMin: time.Minute, RTOMax: time.Second}, "tcp: RTOMin, RTOMax are 1m0s, 1s: the first must not exceed the second"},
		{Config{SendBuffer: Buffer{Default: 10, Max: 5}}, "tcp: SendBuffer.Default, SendBuffer.Max are 10, 5: the first must not exceed the second"},
		{Config{KeepAlive: KeepAlive{Count: 200}}, "tcp: KeepAlive.Count is 200, want 1 to 127"},
	} {
		_, err := c.cfg.Complete()
		require.EqualError(t, err, c.want)
	}
	require.PanicsWithValue(t, "tcp: Config is not from Config.Complete", func() { Dial(&Config{}, &sink{}, 1500, 0, 0) })
}

func TestIPv6(t *testing.T) {
	cfg, err := Config{}.Complete()
	require.NoError(t, err)
	out := &sink{}
	Dial(cfg.ForIPv6(), out, 1500, 0, 0)
	require.EqualValues(t, 1440, out.s.MSS)
	require.Equal(t, 80, out.s.Size())
	Dial(cfg, out, 1500, 0, 0)
	require.EqualValues(t, 1460, out.s.MSS)
}

// fresh is an Output that keeps no blocks.
type fresh struct{ Output }

func (fresh) NewBlock(n int) []byte      { return make([]byte, n) }
func (fresh) RetireBlock([]byte, uint64) {}

// TestSegmentsShareTheBuffer: what is sent is a slice of what was written, and
// writing more does not change it.
func TestSegmentsShareTheBuffer(t *testing.T) {
	var b sendBuffer
	out := &retirer{t: t}
	b.append(pattern[:1000], 1448, 0, out)
	first := b.cut(600, 0, out)
	out.cut(first)
	b.append(pattern[1000:300_000], 1448, 1000, out)
	require.Equal(t, pattern[:600], first)
	at := 600
	joined := 0
	for at < 4_000_000 {
		if at >= 200_000 && at%7 == 0 { // ever again blocks end within a segment
			end := at + b.unsent()
			b.append(pattern[:70_000], 1448, uint64(end), out)
		}
		n := min(1448, b.unsent())
		p := b.cut(n, uint64(at), out)
		out.cut(p)
		if at += n; at <= 200_000 {
			require.Equal(t, pattern[at-n:at], p)
			if cap(p) == n {
				joined++
			}
		}
	}
	require.LessOrEqual(t, joined, 8, "copied because they lie in two blocks")
	require.Equal(t, pattern[:200_000], bytes.Join(out.cuts, nil)[:200_000])
	require.Greater(t, out.retired, 20)
	require.Greater(t, out.joints, 0)
}

// unsent is what is left to cut.
func (b *sendBuffer) unsent() int {
	n := len(b.tail)
	for _, p := range b.full {
		n += len(p)
	}
	return n
}

// A retirer checks that blocks are given back with an end behind all that was cut from them.
type retirer struct {
	Output
	t       *testing.T
	cuts    [][]byte
	retired int
	joints  int // blocks that hold copies
	sent    int
}

func (r *retirer) cut(p []byte) {
	r.cuts = append(r.cuts, p)
	r.sent += len(p)
}

func (r *retirer) NewBlock(n int) []byte { return make([]byte, n) }

func (r *retirer) RetireBlock(block []byte, end uint64) {
	r.retired++
	from := uintptr(unsafe.Pointer(&block[0]))
	at, parts := 0, 0
	for _, p := range r.cuts {
		at += len(p)
		if q := uintptr(unsafe.Pointer(&p[0])); from <= q && q < from+uintptr(cap(block)) {
			require.LessOrEqual(r.t, uint64(at), end)
			parts += len(p)
		}
	}
	if at > 1000 && parts%1448 == 0 && len(block) == maxBlock {
		r.joints++
	}
}

// TestKeepAliveChanges: the timer counts from the last sign of life.
func TestKeepAliveChanges(t *testing.T) {
	p := newPair(t, Config{KeepAlive: KeepAlive{Off: true}})
	c := p.conns[0]
	heard := c.lastHeard()
	require.Equal(t, Never, c.NextTimer())
	c.SetKeepAlive(p.now+time.Second, KeepAlive{Idle: 10 * time.Second})
	require.Equal(t, heard+10*time.Second, c.NextTimer())
	c.SetKeepAlive(p.now+20*time.Second, KeepAlive{Idle: 10 * time.Second})
	require.Equal(t, p.now+20*time.Second, c.NextTimer(), "at once when it is overdue")
	c.SetKeepAlive(p.now+20*time.Second, KeepAlive{Off: true})
	require.Equal(t, Never, c.NextTimer())
}

// TestBufferSizes: as setsockopt: twice the size is set aside, tuning ends.
func TestBufferSizes(t *testing.T) {
	p := newPair(t, Config{})
	c := p.conns[0]
	require.Equal(t, 46080, c.Info().SendBuffer, "measured: 20 segments of 2304")
	require.Equal(t, 131072, c.Info().ReceiveBuffer)
	c.SetWriteBuffer(8192)
	c.SetReadBuffer(8192)
	require.Equal(t, 16384, c.Info().SendBuffer)
	require.Equal(t, 16384, c.Info().ReceiveBuffer)
	for range 100 {
		p.conns[1].Write(p.now, zeros[:])
		c.Write(p.now, zeros[:])
		p.deliver()
		p.conns[1].Read(p.now, scratch[:])
		c.Read(p.now, scratch[:])
		p.deliver()
		p.now += 10 * ms
		c.Timeout(p.now)
		p.conns[1].Timeout(p.now)
	}
	require.Equal(t, 16384, c.Info().SendBuffer)
	require.Equal(t, 16384, c.Info().ReceiveBuffer)
	require.Greater(t, p.conns[1].Info().SendBuffer, 46080, "the other side's have grown")
}

// TestQueueInsert: a segment that is put between two others leaves every other one, the
// order of time and the hint as they are.
func TestQueueInsert(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		q := txQueue{head: uint32(rng.IntN(3)), first: none, last: none}
		q.tail = q.head
		var seqs []uint64
		for i := range 1 + rng.IntN(9) {
			_, s := q.add()
			s.seq, s.data = uint64(i*10), zeros[:10]
			seqs = append(seqs, s.seq)
		}
		for _, k := range rng.Perm(len(seqs))[:rng.IntN(len(seqs)+1)] {
			q.touch(q.head + uint32(k))
		}
		order := func() (all []uint64) {
			prev := none
			for i := q.first; i != none; i = q.at(i).next {
				require.Equal(t, prev, q.at(i).prev)
				all = append(all, q.at(i).seq)
				prev = i
			}
			require.Equal(t, prev, q.last)
			return all
		}
		before := order()
		at, hinted := rng.IntN(len(seqs)), rng.IntN(len(seqs)+1)-1
		hint := none
		if hinted >= 0 {
			hint = q.head + uint32(hinted)
		}
		i := q.insert(q.head+uint32(at), &hint)
		require.Equal(t, q.head+uint32(at), i)
		*q.at(i + 1) = txSegment{seq: uint64(at*10 + 5), prev: none, next: none}
		require.Equal(t, before, order())
		if hinted < 0 {
			require.Equal(t, none, hint)
		} else {
			require.Equal(t, seqs[hinted], q.at(hint).seq)
		}
		var got []uint64
		for j := q.head; j != q.tail; j++ {
			got = append(got, q.at(j).seq)
		}
		require.Equal(t, slices.Insert(slices.Clone(seqs), at+1, uint64(at*10+5)), got)
	}
}
