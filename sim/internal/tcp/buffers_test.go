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
