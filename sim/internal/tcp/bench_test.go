package tcp

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A pair joins two connections without any path: what one sends is handed to the
// other in a loop.
type pair struct {
	now   Time
	conns [2]*Conn
	queue []inTransit
	head  int
	free  []*Segment
	sent  int
	fresh
}

type inTransit struct {
	to *Conn
	s  *Segment
}

func (p *pair) NewSegment() *Segment {
	n := len(p.free)
	if n == 0 {
		return new(Segment)
	}
	s := p.free[n-1]
	p.free = p.free[:n-1]
	*s = Segment{}
	return s
}

func (p *pair) SendRun(c *Conn, s *Segment) { SendApart(p, c, s) }

func (p *pair) Send(c *Conn, s *Segment) {
	p.sent++
	to := p.conns[0]
	if c == to {
		to = p.conns[1]
	}
	p.queue = append(p.queue, inTransit{to, s})
}

// deliver hands over all that is under way.
func (p *pair) deliver() {
	for ; p.head < len(p.queue); p.head++ {
		x := p.queue[p.head]
		x.to.Input(p.now, x.s)
		p.free = append(p.free, x.s)
	}
	p.queue, p.head = p.queue[:0], 0
}

func newPair(t testing.TB, cfg Config) *pair {
	full, err := cfg.Complete()
	require.NoError(t, err)
	p := &pair{}
	p.conns[0] = Dial(full, p, 1500, 0, 0)
	syn := p.queue[0].s
	p.queue = p.queue[:0]
	p.now += time.Millisecond
	p.conns[1] = Accept(full, p, 1500, 0, p.now, syn)
	p.deliver()
	require.Equal(t, Established, p.conns[0].State())
	require.Equal(t, Established, p.conns[1].State())
	return p
}

// stream writes, and delivers one segment at a time, leaving 32 under way; the
// reader reads at once.
type stream struct {
	*pair
	buf []byte
	got int
}

func newStream(t testing.TB, cfg Config) *stream {
	cfg.ReceiveBuffer = Buffer{Default: 131072, Max: 131072} // bounds what is under way
	s := &stream{pair: newPair(t, cfg), buf: make([]byte, 64<<10)}
	s.queue = make([]inTransit, 0, 4096)
	return s
}

// step sends and delivers n segments, acknowledgements included.
func (s *stream) step(n int) {
	for ; n > 0; n-- {
		if s.conns[0].unsent() < 1<<16 {
			s.conns[0].Write(s.now, s.buf)
		}
		if len(s.queue)-s.head < 32 || s.head == 2048 {
			k := copy(s.queue, s.queue[s.head:])
			s.queue, s.head = s.queue[:k], 0
		}
		x := s.queue[s.head]
		s.head++
		x.to.Input(s.now, x.s)
		s.free = append(s.free, x.s)
		if x.to == s.conns[1] {
			s.got += x.to.Read(s.now, s.buf)
		}
		s.now += 5 * time.Microsecond
	}
}

// BenchmarkStream is a bulk transfer; an operation is one segment, of which a part
// are acknowledgements. The allocations are the blocks of the send buffer.
func BenchmarkStream(b *testing.B) {
	s := newStream(b, Config{})
	s.step(10_000)
	b.ReportAllocs()
	s.got = 0
	for b.Loop() {
		s.step(1)
	}
	b.ReportMetric(float64(s.got)/b.Elapsed().Seconds()/1e6, "MB/s")
}

// BenchmarkExchange is a request of 100 bytes and an answer of one byte.
func BenchmarkExchange(b *testing.B) {
	p := newPair(b, Config{})
	buf := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		p.conns[0].Write(p.now, buf[:100])
		p.deliver()
		p.conns[1].Read(p.now, buf)
		p.conns[1].Write(p.now, buf[:1])
		p.deliver()
		p.conns[0].Read(p.now, buf)
		p.now += time.Millisecond
	}
}

// BenchmarkCopy is the reference: what it costs to copy the bytes of a segment into
// a fresh block and out of it.
func BenchmarkCopy(b *testing.B) {
	src, dst := make([]byte, 1448), make([]byte, 1448)
	block := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if cap(block)-len(block) < len(src) {
			block = make([]byte, 0, 64<<10)
		}
		block = append(block, src...)
		copy(dst, block[len(block)-len(src):])
	}
}

// TestSegmentsDoNotAllocate: in a steady stream only the blocks of the send buffer
// are allocated, 64 KiB each.
func TestSegmentsDoNotAllocate(t *testing.T) {
	for name, cfg := range map[string]Config{"cubic": {}, "reno": {CongestionControl: "reno"}} {
		s := newStream(t, cfg)
		s.step(20_000)
		s.got = 0
		allocs := testing.AllocsPerRun(10, func() { s.step(1000) })
		blocks := float64(s.got) / 11 / (64 << 10)
		require.Greater(t, blocks, 5.0, name)
		require.LessOrEqual(t, allocs, 2*blocks+2, "%s: %v allocations for 1000 segments", name, allocs)
	}
}

// TestIdleMemory: an established connection that has been used and is idle since the
// last keep-alive takes less than 700 bytes.
func TestIdleMemory(t *testing.T) {
	const pairs = 2000
	all := make([]*pair, pairs)
	buf := make([]byte, 20000)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	full, err := Config{}.Complete()
	require.NoError(t, err)
	shared := &pair{}
	before := heap()
	conns := make([]*Conn, 0, 2*pairs)
	for range all {
		shared.conns[0] = Dial(full, shared, 1500, 0, 0)
		syn := shared.queue[0].s
		shared.queue = shared.queue[:0]
		shared.now = time.Millisecond
		shared.conns[1] = Accept(full, shared, 1500, 0, shared.now, syn)
		shared.deliver()
		a, b := shared.conns[0], shared.conns[1]
		for range 3 {
			shared.now += time.Millisecond
			a.Write(shared.now, buf[:100])
			shared.deliver()
			b.Read(shared.now, buf)
			b.Write(shared.now, buf)
			shared.deliver()
			a.Read(shared.now, buf)
			shared.deliver()
			shared.now += 50 * time.Millisecond
			a.Timeout(shared.now)
			b.Timeout(shared.now)
			shared.deliver()
		}
		// Keep-alive looks at an idle connection after 15 s.
		shared.now += 15 * time.Second
		a.Timeout(shared.now)
		b.Timeout(shared.now)
		shared.deliver()
		require.Zero(t, a.Info().SendQueue+b.Info().SendQueue+a.Readable()+b.Readable())
		conns = append(conns, a, b)
	}
	shared.queue, shared.free, shared.conns = nil, nil, [2]*Conn{}
	per := float64(heap()-before) / (2 * pairs)
	t.Logf("%.0f bytes; the struct is %d", per, unsafe.Sizeof(Conn{}))
	require.Less(t, per, 700.0)
	runtime.KeepAlive(conns)
}
