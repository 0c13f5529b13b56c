package tcp

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A witness of an Output is what a connection sends, as it sends it.
type sendWitness struct {
	Output
	sent []Segment
	only bool // it goes nowhere else
}

func (w *sendWitness) Send(c *Conn, s *Segment) {
	w.sent = append(w.sent, *s)
	if !w.only {
		w.Output.Send(c, s)
	}
}

func (w *sendWitness) SendRun(c *Conn, s *Segment) { SendApart(w, c, s) }

func (w *sendWitness) NewSegment() *Segment {
	if w.only {
		return new(Segment)
	}
	return w.Output.NewSegment()
}

// take is InputPart, by which all tests of this package hand over segments: one that is predicted does to the connection, and has it
// send, exactly what it does without prediction.
func take(t require.TestingT, c *Conn, now Time, s *Segment, more bool) {
	if !c.predicted(s) {
		c.InputPart(now, s, more)
		return
	}
	out := c.out
	without := *c
	if q := c.rcvq; q != nil {
		without.rcvq = &receiveQueue{items: slices.Clone(q.items), head: q.head, off: q.off, spare: q.spare}
	}
	a, b := &sendWitness{Output: out}, &sendWitness{Output: out, only: true}
	c.out, without.out = a, b

	c.InputPart(now, s, more)
	without.now = now
	without.segsIn++
	without.flag &^= morePart
	if more {
		without.flag |= morePart
	}
	without.inputSynchronized(s)
	without.flag &^= laterPart
	if more {
		without.flag |= laterPart
	}

	require.Equal(t, b.sent, a.sent, "what is sent")
	with := *c
	require.Equal(t, without.rcvq.items[without.rcvq.head:], with.rcvq.items[with.rcvq.head:], "what the program has yet to read")
	require.Equal(t, without.rcvq.off, with.rcvq.off)
	with.out, without.out, with.rcvq, without.rcvq = nil, nil, nil, nil
	require.Equal(t, without, with)
	c.out = out
}

// What is predicted is the next data and nothing else.
func TestPredictedSegments(t *testing.T) {
	next := func(c *Conn) Segment {
		return Segment{Seq: c.rcvNxt, Ack: c.una, Flags: ACK, Payload: make([]byte, 988), Window: c.wnd, HasTimestamps: true,
			TSVal: c.tsRecent, TSEcr: c.rcvEcho, ISS: c.irs, IRS: c.iss}
	}
	for name, row := range map[string]struct {
		conn func(c *Conn)
		segm func(s *Segment)
		want bool
	}{
		"the next data":            {want: true},
		"with PSH":                 {segm: func(s *Segment) { s.Flags |= PSH }, want: true},
		"a later timestamp":        {segm: func(s *Segment) { s.TSVal += time.Second }, want: true},
		"an earlier timestamp":     {segm: func(s *Segment) { s.TSVal -= time.Second }},
		"what came before":         {segm: func(s *Segment) { s.Seq -= 988 }},
		"what is behind a gap":     {segm: func(s *Segment) { s.Seq += 988 }},
		"no data":                  {segm: func(s *Segment) { s.Payload = nil }},
		"another window":           {segm: func(s *Segment) { s.Window++ }},
		"a FIN":                    {segm: func(s *Segment) { s.Flags |= FIN }},
		"a RST":                    {segm: func(s *Segment) { s.Flags |= RST }},
		"a SYN":                    {segm: func(s *Segment) { s.Flags |= SYN }},
		"no acknowledgement":       {segm: func(s *Segment) { s.Flags &^= ACK }},
		"an echo of congestion":    {segm: func(s *Segment) { s.Flags |= ECE }},
		"that a window is reduced": {segm: func(s *Segment) { s.Flags |= CWR }},
		"an older acknowledgement": {segm: func(s *Segment) { s.Ack-- }},
		"one of what is not sent":  {segm: func(s *Segment) { s.Ack++ }},
		"a selective one":          {segm: func(s *Segment) { s.SACKLen = 1 }},
		"another connection's":     {segm: func(s *Segment) { s.ISS++ }},
		"to an earlier one":        {segm: func(s *Segment) { s.IRS++ }},
		"beyond the window":        {conn: func(c *Conn) { c.rcvMax = c.rcvNxt + 987 }},
		"up to its edge":           {conn: func(c *Conn) { c.rcvMax = c.rcvNxt + 988 }, want: true},
		"with data under way":      {conn: func(c *Conn) { c.Write(c.now, make([]byte, 10)) }},
		"behind a FIN of ours":     {conn: func(c *Conn) { c.CloseWrite(c.now) }},
		"while there is a gap":     {conn: func(c *Conn) { c.outOfOrder() }},
		"after a tail loss probe":  {conn: func(c *Conn) { c.rec.tlpHigh = c.nxt }},
	} {
		t.Run(name, func(t *testing.T) {
			c := alikeRunner(t).conn
			s := next(c)
			if row.conn != nil {
				row.conn(c)
			}
			if row.segm != nil {
				row.segm(&s)
			}
			require.Equal(t, row.want, c.predicted(&s))
		})
	}
}

// Bulk is received by prediction alone: 100 segments, of which each second one is acknowledged. The first one also answers
// probes, shows that the network is well, and wakes a writer.
func TestBulkIsPredicted(t *testing.T) {
	r := alikeRunner(t)
	r.conn.probes, r.conn.softErr = 2, HostUnreachable
	r.conn.flag |= blocked
	predicted := 0
	for i := range uint64(100) {
		s := &Segment{Seq: 1 + i*988, Ack: 1, Flags: ACK, Payload: make([]byte, 988), Window: r.conn.wnd, HasTimestamps: true,
			TSVal: stamp(r.now), TSEcr: r.conn.rcvEcho, ISS: r.conn.irs, IRS: r.conn.iss}
		if r.conn.predicted(s) {
			predicted++
		}
		take(t, r.conn, r.now, s, false)
		r.conn.Take(make([]byte, 988))
		r.conn.Push(r.now)
	}
	require.Equal(t, 100, predicted)
}
