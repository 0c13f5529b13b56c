package tcp

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// alikeRunner is a connection on which nothing is outstanding. Its segments carry 988 bytes.
func alikeRunner(t *testing.T) *runner {
	r := &runner{t: t, s: script{name: "alike", file: "here"}, cfg: Config{CongestionControl: "reno", KeepAlive: KeepAlive{Off: true}}}
	r.open(true, []string{"mss=1000", "scale=7", "sack", "ts"})
	return r
}

// Each segment that goes at once has the header of the first, and the last one PSH: of every two, the least that goes (net.ipv4.tcp_min_tso_segs), since 197,600 bytes a
// second are 198 in a millisecond.
func TestSegmentsOfOneBuffer(t *testing.T) {
	r := alikeRunner(t)
	require.True(t, r.conn.alike())
	require.Equal(t, 3500, r.conn.Write(r.now, make([]byte, 3500)))
	require.Len(t, r.sent, 4)
	for i, sent := range r.sent {
		want := Segment{
			Seq: 1 + 988*uint64(i), Ack: 1, Flags: ACK, Window: r.sent[0].s.Window,
			HasTimestamps: true, TSVal: stamp(r.now), TSEcr: r.sent[0].s.TSEcr, ISS: r.conn.iss, IRS: r.conn.irs, inner: inner{ipHeader: ipv4Header},
		}
		if i%2 == 1 {
			want.Flags |= PSH
		}
		require.NotZero(t, want.Window)
		require.NotZero(t, want.TSEcr)
		require.Len(t, sent.s.Payload, min(988, 3500-988*i), "segment %d", i)
		sent.s.Payload = nil
		require.Equal(t, want, *sent.s, "segment %d", i)
	}
	require.EqualValues(t, 3501, r.conn.nxt)
	require.Equal(t, r.conn.tx.tail-1, r.conn.tx.last, "the last in the order of time")
}

// While there is a gap each segment reports what is beyond it, and has less room: 12 bytes less for one block.
func TestSegmentsOfOneBufferReportTheGap(t *testing.T) {
	r := alikeRunner(t)
	r.conn.Input(r.now, &Segment{Seq: 989, Ack: 1, Flags: ACK, Payload: make([]byte, 988), Window: 65000, HasTimestamps: true, TSVal: stamp(r.now), TSEcr: r.conn.rcvEcho})
	r.sent = nil
	require.Equal(t, 3*976, r.conn.Write(r.now, make([]byte, 3*976)))
	require.Len(t, r.sent, 3)
	for i, sent := range r.sent {
		require.Len(t, sent.s.Payload, 976)
		require.EqualValues(t, 1, sent.s.SACKLen, "segment %d", i)
		require.Equal(t, Block{989, 1977}, sent.s.SACK[0], "segment %d", i)
	}
}

// What is offered does not change from one segment to the next where alike says so. Without a scale, and once there was no memory, it may.
func TestWindowOfAlikeSegments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alike, unscaled, noMem := 0, 0, 0
	for range 20_000 {
		c := &Conn{}
		c.rcvScale = uint8(r.IntN(3) * r.IntN(5))
		c.scalingRatio = uint8(1 + r.IntN(255))
		c.rcvbuf = int32(2000 + r.IntN(1<<(11+r.IntN(8))))
		c.rmem = int32(r.IntN(int(c.rcvbuf) + 2000))
		c.wndClamp = uint32(1 + r.IntN(c.winFromSpace(int(c.rcvbuf))+2000))
		c.rcvSSThresh = uint32(1 + r.IntN(int(c.wndClamp)))
		c.rcvMSS = uint16(88 + r.IntN(1400))
		c.rcvWnd = uint32(r.IntN(1 << (8 + r.IntN(12))))
		c.rcvWup = 1
		c.rcvNxt = 1 + uint64(r.IntN(int(c.rcvWnd)+1))
		if r.IntN(4) == 0 {
			c.ack |= ackNoMem
		}
		promised, without := c.alike(), c.ack&ackNoMem != 0
		first := c.selectWindow()
		c.ackSent()
		require.Equal(t, first, c.offered())
		switch second := c.selectWindow(); {
		case promised:
			alike++
			require.Equal(t, first, second, "%+v", c)
		case first != second && without:
			noMem++
		case first != second:
			unscaled++
		}
	}
	require.Positive(t, alike)
	require.Positive(t, noMem)
	require.Positive(t, unscaled)
}
