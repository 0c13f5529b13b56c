package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGiveUp: a request into a black hole at RTT 20 ms; measured to fail after
// 960.9 s, 15 retransmissions after the probe. The rule is the first timeout that
// is not earlier than 924.6 s after the first retransmission.
func TestGiveUp(t *testing.T) {
	kernel := seconds(0, .224086, .452148, .912136, 1.840153, 3.664127, 7.348165, 14.768154, 29.364144, 59.824105,
		119.216525, 235.952129, 356.784501, 477.616150, 598.448252, 719.280138, 840.112441, 960.948224)
	p := newPath(t, kernelConfig("cubic"), 20*time.Millisecond)
	p.exchanges(1, 0, 1)
	sent := ladder(p, p.client(), carriesData, func() bool { return true })
	start := p.now
	var failed Time
	p.client().onEvt = func(_ *end, ev Events) {
		if ev&Failed != 0 {
			failed = p.now - start
		}
	}
	p.client().write(zeros[:1])
	p.run(start + time.Hour)
	want := seconds(0, .22, .44, .88, 1.76, 3.52, 7.04, 14.08, 28.16, 56.32, 112.64, 225.28, 345.28, 465.28, 585.28, 705.28, 825.28)
	require.Equal(t, want, *sent)
	require.Equal(t, TimedOut, p.client().conn.Err())
	require.Equal(t, 945280*time.Millisecond, failed)
	for i, at := range append(want, failed) {
		requireTimer(t, at, kernel[i], 0, "%d", i)
	}
}

// TestGiveUpAtOtherRoundTrips: TCP.md's older measurements, death within 3 %.
func TestGiveUpAtOtherRoundTrips(t *testing.T) {
	for _, c := range []struct{ rtt, model, kernel Time }{
		{time.Millisecond, 925824 * time.Millisecond, 951200 * time.Millisecond},
		{100 * time.Millisecond, 993600 * time.Millisecond, 1010600 * time.Millisecond},
	} {
		p := newPath(t, kernelConfig("cubic"), c.rtt)
		p.exchanges(1, 0, 1)
		ladder(p, p.client(), carriesData, func() bool { return true })
		start := p.now
		p.client().write(zeros[:1])
		p.run(start + c.model - 1)
		require.Equal(t, OK, p.client().conn.Err())
		p.run(start + c.model)
		require.Equal(t, TimedOut, p.client().conn.Err())
		require.InEpsilon(t, c.kernel, c.model, 0.03)
	}
}

// TestKeepAliveGivesUp: Go's defaults on an idle connection whose peer is gone.
func TestKeepAliveGivesUp(t *testing.T) {
	kernel := seconds(15.126568, 30.230609, 45.334640, 60.438569, 75.542584, 90.646600, 105.750788, 120.855032, 135.958768, 151.062595)
	p := newPath(t, Config{}, 20*time.Millisecond)
	p.exchanges(1, 0, 1)
	start := p.now
	var sent []Time
	p.server().dir.drop = func(int, *Segment) bool { return true }
	p.client().dir.drop = func(_ int, s *Segment) bool {
		if p.now > start {
			sent = append(sent, p.now-start)
		}
		return true
	}
	p.run(start + 150*time.Second - 1)
	require.Equal(t, OK, p.client().conn.Err())
	p.run(start + 150*time.Second)
	require.Equal(t, TimedOut, p.client().conn.Err())
	require.Equal(t, seconds(15, 30, 45, 60, 75, 90, 105, 120, 135, 150), sent, "nine probes and the RST")
	for i := range sent {
		requireTimer(t, sent[i], kernel[i], 0)
	}
}

// TestNagleAndDelayedAck: exchanges with requests in pieces.
func TestNagleAndDelayedAck(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		nagle  bool
		rtt    Time
		pieces []int
		first  Time // exchange, while acknowledgements are quick
		later  Time
		kernel float64 // median of 40, ms
		reason string
	}{
		{true, 20 * ms, []int{100}, 20 * ms, 20 * ms, 20.22, "one segment is not held back"},
		{true, 20 * ms, []int{100, 100}, 40 * ms, 80 * ms, 84.04, "the second waits for a delayed acknowledgement"},
		{true, 20 * ms, []int{1, 1}, 40 * ms, 80 * ms, 84.02, "whatever their size"},
		{true, 20 * ms, []int{100, 100, 100, 100, 100}, 40 * ms, 80 * ms, 84.03, "the rest goes together"},
		{true, 20 * ms, []int{1448, 100}, 20 * ms, 20 * ms, 20.34, "a full segment holds nothing back"},
		{false, 20 * ms, []int{100, 100}, 20 * ms, 20 * ms, 20.36, "TCP_NODELAY"},
		{false, 20 * ms, []int{100, 100, 100, 100, 100}, 20 * ms, 20 * ms, 20.36, "TCP_NODELAY"},
		{true, 100 * ms, []int{100, 100}, 200 * ms, 240 * ms, 244.02, "at any round-trip time"},
		{true, 100 * ms, []int{1448, 100}, 100 * ms, 100 * ms, 100.30, ""},
		{true, 0, []int{100, 100}, 0, 40 * ms, 44.00, "the delay alone"},
	} {
		t.Run(fmt.Sprintf("nagle=%v/rtt=%v/%v", c.nagle, c.rtt, c.pieces), func(t *testing.T) {
			p := newPath(t, kernelConfig("cubic"), c.rtt)
			if c.nagle {
				p.after(0, func() { p.client().conn.SetNoDelay(p.now, false) })
			}
			took := p.exchanges(40, 0, c.pieces...)
			require.Len(t, took, 40)
			require.Equal(t, c.first, took[0], c.reason)
			for _, d := range took[1:] {
				require.Equal(t, c.later, d, c.reason)
			}
			requireTimer(t, c.later, Time(c.kernel*1e6), 0)
		})
	}
}

// TestZeroWindow: a reader sleeps until 35 s, a writer fills both buffers. What
// they take agrees with the kernel within 5 % for large writes; probes double
// from the RTO.
func TestZeroWindow(t *testing.T) {
	for _, c := range []struct {
		rtt             Time
		written, queued int // kernel: by the writer, at the reader
		probes          []Time
	}{
		{20 * time.Millisecond, 372_512, 90_752, seconds(.268009, .783994, 1.776020, 3.696051, 7.664044, 15.344052, 30.703988)},
		{100 * time.Millisecond, 372_512, 90_752, seconds(.395968, 1.163975, 2.571978, 5.455980, 10.831981, 21.327984)},
	} {
		p := newPath(t, kernelConfig("cubic"), c.rtt)
		cl, sv := p.client(), p.server()
		written := 0
		fill := func(e *end, ev Events) {
			if ev&(Connected|Writable) == 0 {
				return
			}
			for {
				n := e.conn.Write(p.now, zeros[:65536-written%65536])
				if n == 0 {
					return
				}
				written += n
			}
		}
		cl.onEvt = fill
		var closed Time // when the zero window reached the writer
		sv.dir.drop = func(_ int, s *Segment) bool {
			if s.Flags&SYN == 0 && s.Window == 0 && closed == 0 {
				closed = p.now + c.rtt/2
			}
			return false
		}
		var probes []Time
		cl.dir.drop = func(_ int, s *Segment) bool {
			if s.Kind == WindowProbe && len(s.Payload) == 0 {
				probes = append(probes, p.now-closed)
			}
			return false
		}
		cl.dial()
		p.run(35 * time.Second)
		require.InEpsilon(t, c.written, written, 0.05)
		require.InEpsilon(t, c.queued, sv.conn.Readable(), 0.05)
		require.Equal(t, Established, cl.conn.State())
		rto := cl.conn.Info().RTO
		require.GreaterOrEqual(t, len(probes), len(c.probes))
		for i := 1; i < len(probes); i++ {
			// Twice the time, from the answer to the last one. A peer answers
			// only one such segment in 500 ms.
			want := rto<<i + c.rtt
			if i > 1 && probes[i-1]-probes[i-2] < outOfWindowPause {
				want = rto << i
			}
			require.Equal(t, want, probes[i]-probes[i-1], "probe %d", i)
		}
		requireTimer(t, rto-c.rtt/2, c.probes[0], c.rtt, "the first, an RTO after the last data")
		for i := 1; i < len(c.probes); i++ {
			requireTimer(t, rto<<i+c.rtt, c.probes[i]-c.probes[i-1], 0, "probe %d", i)
		}

		// The reader wakes up: everything arrives, within a few round trips.
		cl.onEvt = nil
		got := 0
		sv.onEvt = func(e *end, ev Events) { got += e.readAll() }
		start := p.now
		p.after(0, func() { sv.onEvt(sv, 0); sv.settle() })
		p.run(start + 8*c.rtt)
		require.Equal(t, written, got)
	}
}

// TestOrphanAtAClosedWindow: a closed connection with data that the peer's window does not take is given up
// when the time between probes has reached its maximum, however faithfully the peer answers, unless
// OrphanRetries is more than the doublings that are counted (tcp_probe_timer, tcp_orphan_retries).
func TestOrphanAtAClosedWindow(t *testing.T) {
	for retries, dies := range map[int]bool{0: true, 5: true, 20: false} {
		cfg := kernelConfig("cubic")
		cfg.OrphanRetries = retries
		p := newPath(t, cfg, 0)
		cl := p.client()
		cl.onEvt = func(e *end, ev Events) {
			for ev&(Connected|Writable) != 0 && e.conn.Write(p.now, zeros[:]) > 0 {
			}
		}
		var probes []Time
		cl.dir.drop = func(_ int, s *Segment) bool {
			if s.Kind == WindowProbe && len(s.Payload) == 0 {
				probes = append(probes, p.now)
			}
			return false
		}
		cl.dial()
		p.run(time.Millisecond)
		cl.onEvt = nil
		cl.conn.Close(p.now)
		cl.settle()
		p.run(5 * time.Minute)
		rto := cl.conn.Info().RTO
		require.Len(t, probes, 10)
		for i := 1; i < 10; i++ {
			require.Equal(t, rto<<i, probes[i]-probes[i-1])
		}
		end := probes[9] + 120*time.Second // not rto<<10, which is 214 s
		p.run(end - 1)
		require.Equal(t, FinWait1, cl.conn.State())
		p.run(end)
		require.Equal(t, dies, cl.conn.State() == StateClosed)
		p.run(time.Hour)
		require.Equal(t, dies, cl.conn.State() == StateClosed)
		if dies {
			require.Equal(t, TimedOut, cl.conn.Err())
		}
	}
}

// TestFinWait2OfASlowConnection: a closed connection waits for the peer's FIN for FinTimeout, or for three
// and a half retransmission timeouts if that is longer (tcp_fin_time).
func TestFinWait2OfASlowConnection(t *testing.T) {
	for rtoMin, want := range map[Time]Time{
		time.Second:      20 * time.Second,
		10 * time.Second: 35 * time.Second,
	} {
		p := newPath(t, Config{FinTimeout: 20 * time.Second, RTOMin: rtoMin}, 0)
		cl := p.client()
		cl.dial()
		p.run(time.Second)
		cl.conn.Close(p.now)
		cl.settle()
		p.run(2 * time.Second)
		require.Equal(t, FinWait2, cl.conn.State())
		p.run(time.Second + want - 1)
		require.Equal(t, FinWait2, cl.conn.State())
		p.run(time.Second + want)
		require.Equal(t, StateClosed, cl.conn.State())
	}
}
