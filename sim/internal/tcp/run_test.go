package tcp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// runRunner is a connection that sends large buffers at once, and a round trip of 100 µs behind it.
func runRunner(t *testing.T) *runner {
	r := alikeRunner(t)
	r.conn.rtt.srtt8 = 8 * 100_000
	return r
}

func (r *runner) payload() (p []byte) {
	for _, sent := range r.sent {
		p = append(p, sent.s.Payload...)
	}
	return p
}

// Of five segments that the window takes at once (half of ten) four are a run, which taken apart are what each would be alone.
func TestSendRun(t *testing.T) {
	r := runRunner(t)
	require.Equal(t, 4500, r.conn.Write(r.now, pattern[:4500]))
	require.Equal(t, []int{4}, r.runs)
	require.Len(t, r.sent, 5)
	require.Equal(t, pattern[:4500], r.payload())
	for i, sent := range r.sent {
		want := Segment{
			Seq: 1 + 988*uint64(i), Ack: 1, Flags: ACK, Window: r.sent[0].s.Window,
			HasTimestamps: true, TSVal: stamp(r.now), TSEcr: r.sent[0].s.TSEcr, ISS: r.conn.iss, IRS: r.conn.irs, inner: inner{ipHeader: ipv4Header},
		}
		if i == 4 {
			want.Flags |= PSH
		}
		require.Len(t, sent.s.Payload, min(988, 4500-988*i))
		sent.s.Payload = nil
		require.Equal(t, want, *sent.s, "segment %d", i)
	}
	c := r.conn
	require.EqualValues(t, 4501, c.nxt)
	require.EqualValues(t, 5, c.tx.packets())
	before := none
	for i, order := c.tx.head, c.segsOut-4; i != c.tx.tail; i, order = i+1, order+1 {
		s := c.tx.at(i)
		require.Equal(t, before, s.prev)
		require.Equal(t, order, s.order)
		require.Equal(t, r.now, s.sent)
		require.Equal(t, i > c.tx.head, s.flag&txJoined != 0)
		require.Equal(t, i == c.tx.last, s.flag&txPush != 0)
		require.Equal(t, min(988, 4500-988*int(i-c.tx.head)), len(s.data))
		before = i
	}
	require.Equal(t, c.tx.last, before)
}

// A FIN goes with the last segment of a run.
func TestSendRunWithFIN(t *testing.T) {
	r := runRunner(t)
	r.conn.cc.cwnd = 1
	require.Equal(t, 4500, r.conn.Write(r.now, pattern[:4500]))
	require.Len(t, r.sent, 1)
	r.conn.CloseWrite(r.now)
	r.conn.cc.cwnd = 20
	r.conn.Input(r.now, &Segment{Seq: 1, Ack: 989, Flags: ACK, Window: 65000, HasTimestamps: true, TSVal: stamp(r.now), TSEcr: stamp(r.now)})
	require.Equal(t, []int{3}, r.runs)
	require.Len(t, r.sent, 5)
	require.Equal(t, pattern[:4500], r.payload())
	for i, sent := range r.sent {
		require.Equal(t, i == 4, sent.s.Flags&FIN != 0, "segment %d", i)
	}
	require.EqualValues(t, 4502, r.conn.nxt)
	require.Equal(t, txFIN, r.conn.tx.at(r.conn.tx.last).flag&txFIN)
}

// What may differ from segment to segment is no run: marks, and what a gap adds.
func TestNoRun(t *testing.T) {
	r := runRunner(t)
	r.conn.ecn = ecnOK
	r.conn.Write(r.now, pattern[:4500])
	require.Len(t, r.sent, 5)
	require.Empty(t, r.runs)

	r = runRunner(t)
	r.conn.Input(r.now, &Segment{Seq: 989, Ack: 1, Flags: ACK, Payload: make([]byte, 988), Window: 65000, HasTimestamps: true, TSVal: stamp(r.now), TSEcr: r.conn.rcvEcho})
	r.sent = nil
	r.conn.Write(r.now, pattern[:4500])
	require.Greater(t, len(r.sent), 2)
	require.Empty(t, r.runs)
}

// A segment that lies in two blocks ends a run, and another one begins behind it.
func TestRunsAndBlocks(t *testing.T) {
	r := runRunner(t)
	r.conn.cc.cwnd = 1
	require.Equal(t, 6500, r.conn.Append(pattern[:6500]))
	r.conn.Push(r.now)
	require.Equal(t, 4000, r.conn.Append(pattern[6500:10_500]))
	r.conn.Push(r.now)
	r.conn.cc.cwnd = 60
	r.conn.Input(r.now, &Segment{Seq: 1, Ack: 989, Flags: ACK, Window: 65000, HasTimestamps: true, TSVal: stamp(r.now), TSEcr: stamp(r.now)})
	require.Greater(t, len(r.runs), 1)
	require.Equal(t, pattern[:10_500], r.payload())
}

func TestTakeRunApart(t *testing.T) {
	p := bytes.Repeat([]byte("0123456789"), 3)
	run := Segment{Seq: 100, Ack: 7, Flags: ACK, Payload: p[:10], Window: 5, inner: inner{behind: p[10:25], last: PSH | FIN}}
	require.Equal(t, 3, run.Run())
	require.Equal(t, 25, run.RunLen())
	require.Equal(t, ACK|PSH|FIN, run.RunFlags())
	want := []Segment{
		{Seq: 100, Ack: 7, Flags: ACK, Payload: p[:10], Window: 5},
		{Seq: 110, Ack: 7, Flags: ACK, Payload: p[10:20], Window: 5},
		{Seq: 120, Ack: 7, Flags: ACK | PSH | FIN, Payload: p[20:25], Window: 5},
	}
	var r runner
	first := run
	SendApart(&r, nil, &first)
	for i, sent := range r.sent {
		require.Equal(t, want[i], *sent.s)
	}
	require.Len(t, r.sent, len(want))

	first = run
	var rest Segment
	require.True(t, first.SplitTo(&rest))
	require.Equal(t, want[0], first)
	require.Equal(t, 2, rest.Run())
	require.True(t, rest.Advance())
	require.Equal(t, want[2], rest)
	require.False(t, rest.Advance())
	require.False(t, rest.SplitTo(&first))
	require.Equal(t, want[2], rest)
	require.Equal(t, 1, rest.Run())
}
