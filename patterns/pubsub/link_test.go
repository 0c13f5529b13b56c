package pubsub

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bytesConn is a connection that brings bytes, in pieces of random sizes.
type bytesConn struct {
	net.Conn
	b     []byte
	reads int
	most  int // of a piece
	r     *rand.Rand
}

func (c *bytesConn) Read(b []byte) (int, error) {
	c.reads++
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.b[:min(len(c.b), 1+c.r.IntN(c.most))])
	c.b = c.b[n:]
	return n, nil
}

func (c *bytesConn) SetReadDeadline(time.Time) error { return nil }

// Frames come out as they went in, however they are cut, and those that came together are
// known to have.
func TestLinkReadsFrames(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1, 10, 3000, 100_000} {
		c := &bytesConn{r: r, most: most}
		var sizes []int
		for i := range 3000 {
			size := r.IntN(60)
			if i < 300 && i%10 == 0 {
				size = r.IntN(10_000)
			}
			if i%1000 == 50 {
				size = 100_000 + r.IntN(100_000)
			}
			sizes = append(sizes, size)
			from := len(c.b)
			c.b = beginFrame(c.b, byte('a'+i%26))
			for j := range size {
				c.b = append(c.b, byte(i+j))
			}
			c.b = endFrame(c.b, from)
		}
		l := newLink(c, time.Hour, 1<<20)
		for i, size := range sizes {
			there, reads := l.more(), c.reads
			kind, body, err := l.next()
			require.NoError(t, err)
			if there {
				require.Equal(t, reads, c.reads)
			}
			if kind != byte('a'+i%26) || len(body) != size || size > 0 && (body[0] != byte(i) || body[size-1] != byte(i+size-1)) {
				require.Fail(t, "another frame", "%d: kind %c, %d bytes, want %d", i, kind, len(body), size)
			}
		}
		if most == 100_000 {
			require.Less(t, c.reads, 200)
			require.Len(t, l.buf, largeBuffer)
		}
		c.most = 10
		for range 100 {
			c.b = appendFrame(c.b, 'z', 1, 2, 3, 4)
			_, _, err := l.next()
			require.NoError(t, err)
		}
		require.Len(t, l.buf, smallBuffer, "a connection that brings little has a small buffer again")
		_, _, err := l.next()
		require.ErrorIs(t, err, io.EOF)
	}
}

// A length is only what the other side says: memory is for what has come.
func TestLinkTakesNoMemoryForWhatHasNotCome(t *testing.T) {
	b := append(binary.BigEndian.AppendUint32(nil, 60<<20), "d and a few bytes"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		_, _, err := newLink(&bytesConn{b: b, most: 100, r: rand.New(rand.NewPCG(1, 2))}, time.Hour, maxMessageBytes).next()
		require.ErrorIs(t, err, io.EOF)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10<<20))
}
