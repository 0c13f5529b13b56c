package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What generic receive offload joins (tcp_gro_receive). Each row changes one of four segments that continue each other
// otherwise; want has a letter for each, J if it is joined to the one before it.
func TestJoined(t *testing.T) {
	const mss = 1448
	for _, row := range []struct {
		why    string
		change func(s []*Segment)
		want   string
	}{
		{"nothing", func([]*Segment) {}, "-JJJ"},
		{"PSH ends what is joined", func(s []*Segment) { s[1].Flags |= PSH }, "-J-J"},
		{"FIN too", func(s []*Segment) { s[3].Flags |= FIN }, "-JJJ"},
		{"a short segment is the last", func(s []*Segment) { s[2].Payload = s[2].Payload[:100]; s[3].Seq -= mss - 100 }, "-JJ-"},
		{"a longer one is none of it", func(s []*Segment) {
			s[0].Payload = s[0].Payload[:1000]
			for _, later := range s[1:] {
				later.Seq -= mss - 1000
			}
		}, "--JJ"},
		{"a gap", func(s []*Segment) { s[2].Seq += mss; s[3].Seq += mss }, "-J-J"},
		{"another acknowledgement", func(s []*Segment) { s[2].Ack++ }, "-J--"},
		{"another timestamp", func(s []*Segment) { s[1].TSVal += time.Millisecond }, "---J"},
		{"another echo", func(s []*Segment) { s[1].TSEcr += time.Millisecond }, "---J"},
		{"selective acknowledgements", func(s []*Segment) { s[1].SACKLen, s[1].SACK[0] = 1, Block{7, 8} }, "---J"},
		{"an acknowledgement without data", func(s []*Segment) { s[1].Payload = nil; s[2].Seq -= mss; s[3].Seq -= mss }, "---J"},
		{"CWR begins something new", func(s []*Segment) { s[2].Flags |= CWR }, "-J-J"},
		{"ECE is the same in all", func(s []*Segment) { s[2].Flags |= ECE }, "-J--"},
		{"so is ECT", func(s []*Segment) { s[0].ECT = true }, "--JJ"},
		{"a reset", func(s []*Segment) { s[1].Flags |= RST }, "---J"},
	} {
		var all []*Segment
		for i := range uint64(4) {
			all = append(all, &Segment{Seq: 1 + i*mss, Ack: 1, Flags: ACK, Payload: make([]byte, mss), HasTimestamps: true, TSVal: 5, TSEcr: 6})
		}
		row.change(all)
		require.Equal(t, row.want, joinedOf(all), row.why)
	}
	// 52 bytes of headers and 45 segments are 65,212 bytes, and less than 65,536: 46 would be more.
	var all []*Segment
	for i := range uint64(100) {
		all = append(all, &Segment{Seq: 1 + i*mss, Ack: 1, Flags: ACK, Payload: make([]byte, mss), HasTimestamps: true})
	}
	first := 0
	for i, c := range joinedOf(all) {
		if c == '-' {
			require.Zero(t, i%45, "segment %d begins a packet", i)
			first++
		}
	}
	require.Equal(t, 3, first)
}

func joinedOf(all []*Segment) string {
	var j Joined
	got := "-"
	for i, s := range all {
		j.Add(s, s.Size())
		switch {
		case i+1 == len(all):
		case j.Joins(all[i+1]):
			got += "J"
		default:
			got += "-"
		}
	}
	return got
}

// Segments that are joined count as one for the delay of acknowledgements: of two that come behind each other the receiver
// acknowledges the second, in the phase too in which it acknowledges each.
func TestJoinedSegmentsAreAcknowledgedOnce(t *testing.T) {
	for _, joined := range []bool{false, true} {
		t.Run(fmt.Sprint(joined), func(t *testing.T) {
			r := &runner{t: t, s: script{name: "joined", file: "here"}, cfg: Config{CongestionControl: "reno", KeepAlive: KeepAlive{Off: true}}}
			r.open(true, []string{"mss=1000"})
			r.sent = nil
			for i := range uint64(8) {
				take(t, r.conn, r.now, &Segment{Seq: 1 + i*1000, Ack: 1, Flags: ACK, Payload: make([]byte, 1000), Window: 65000}, joined && i < 7)
			}
			require.EqualValues(t, 8001, r.conn.rcvNxt)
			want := 8
			if joined {
				want = 1
			}
			require.Len(t, r.sent, want)
			require.EqualValues(t, 8001, r.sent[want-1].s.Ack)
		})
	}
}
