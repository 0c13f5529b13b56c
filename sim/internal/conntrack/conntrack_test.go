package conntrack

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// For how many seconds Linux 6.18 remembers a connection behind these segments, as conntrack -L showed it for segments that were put on a wire
// of its own; 0: it knows none. A segment is that of the client or of the server, its flags (S, F, R, A), its number, the bytes it has, and
// what it acknowledges; w0 is a window of nothing, n another connection of the same addresses, z the number 0 on the wire. "open" is a handshake.
func TestConnectionsAreFollowedAsLinuxDoes(t *testing.T) {
	for _, row := range []struct {
		segments string
		want     int64
	}{
		{"cS0", 120},
		{"cS0 sA0/77", 120},
		{"cS0 cFA1/0", 120},
		{"cS0 sRA0/1", 0},
		{"cS0 sSA0/1", 60},
		{"cS0 sSA0/1 sSA0/1", 60},
		{"cS0 sSA0/1 sA1+10/1", 60},
		{"cS0 sSA0/1 sA1+10/1 cA1/1", 300},
		{"cS0 sSA0/1 sFA1/1", 120},
		{"open", 432000},
		{"open cA1+100/1", 300},
		{"open cA1+100/1 sSA0/101", 300},
		{"open cA1+100/1 sA1/101", 432000},
		{"open cA1/1w0", 300},
		{"open cA1/1w0 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cA1/1", 300},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 sA1/2 cA1/1 cA1/1 cA1/1", 432000},
		{"cFA1/1", 0},
		{"cA1+100/1", 300},
		{"cA1+100/1 sA1+5/101", 300},
		{"cA1+100/1 sA1+5/101 sA6/101", 432000},
		{"open cFA1/1", 120},
		{"open cFA1/1 cFA1/1", 30},
		{"open cFA1/1 cFA1/1 cFA1/1", 30},
		{"open cFA1/1 sA1+100/1", 60},
		{"open cFA1/1 cA2/1", 60},
		{"open cFA1/1 sA1/2", 60},
		{"open cFA1/1 sA1/2 cFA1/1", 30},
		{"open cFA1/1 sA1/2 sFA1/2", 30},
		{"open cFA1/1 sA1/2 sFA1/2 cA2/2", 120},
		{"open cFA1/1 sFA1/1", 30},
		{"open cFA1/1 sFA1/1 cA2/2", 120},
		{"open cFA1/1 sFA1/1 cA2/2 sA2/2", 120},
		{"open cFA1/1 sSA0/1", 120},
		{"open cFA1/1 sA1/2 sFA1/2 cA2/2 cS0", 120},
		{"open cRA1/1", 10},
		{"open cRA1/1 sA1+5/1", 10},
		{"open cRA1/1 cS0", 120},
		{"open sRA0/1", 432000},
		{"open cA1+100/1 sA1+100/101 cA101/1 sRA101/101", 10},
		{"open cA1+100/1 sA1+100/101 cA101/1 sRA101/101 cA101/1", 300},
		{"open cA1+100/1 sA1+100/101 sRA101/101", 10},

		{"cA1/1 sRA0/1", 0},
		{"cA1/1 sRA5/1", 0},
		{"cA1/1 sA1+1/1 sA1+1/1", 432000},
		{"cA1/1 sFA1/1 sRA2/1", 10},
		{"cS0 sS0 cSA0/1", 60},
		{"cS0 sS0 sSA0/1 cA1/1", 432000},
		{"open sA1/1 sA1/1 sA1/1", 432000},
		{"open cA1+100/1 sA1/11 sA1/21 sA1/31 sA1/41 sA1/101", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 sSA0/1 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cS0 cA1/1", 432000},
		{"open cA1+1/1 sA1/2 cA1/1 cA1/1 cA1/1 cSA0/1 cA1/1", 300},
		{"open sRA1/1 cA1/1", 10},
		{"open sA1+10/1 cA1/11 cA1/1 sRA1/1", 432000},
		{"open sA1+10/1 sRA2/1 sRA11/1 sA11+90/1", 300},
		{"open cA1+10/1 cRA11/1 sA1/11", 10},
		{"open cA1+10/1 cRA2/1", 10},
		{"open cA1+10/1 cRA2/1 sA1/11", 432000},
		{"open cA1+10/1 sA1+10/11 sRA11/11 sA11/11", 10},
		{"open cA1+10/1 sA1+10/11 sSA0/11 sRA11/11 sA11/11", 300},
		{"open cA1+10/1 sA1+10/11 cSA0/1 sRA11/11 sA11/11", 10},
		{"open cS0 sRA0/1", 10},
		{"open cS0 sRA0/1 sA1/1", 10},
		{"open sA1+100/1 cA1/101 sRA50/1", 432000},
		{"open sA1+100/1 cA1/101 cS0n sRA50/1", 10},
		{"open sA1+100/1 cA1/101 cS0n sSA0/1 sRA50/1", 432000},
		{"open sA1+100/1 cA1/101 sS0 sRA50/1", 432000},
		{"open cS0 cA1/1 sSA0/1", 432000},
		{"open cS0n sSA0/1n", 60},
		{"open cS0n sS0 sSA0/1n", 60},
		{"open cS0n cSA0/1 sSA0/1n", 60},
		{"open cS0n sSA0/1 sSA0/1n", 432000},
		{"open cS0n sSA0/1n cA1+1/1n", 300},
		{"open cA1+10/1 cFA11/1 sA1/12 cS0n sSA0/1n cRA1/1n", 10},
		{"open cFA1/1 sFA1/2 cA2/2 cS0 cR1", 0},
		{"open cFA1/1 sRA1/2 cS0", 120},
		{"open cFA1/1 sRA1/2 cS0 cR1", 0},
		{"open sFA1/1 sRA2/1 cS0", 120},
		{"open cA1+10/1 sA1/11 cFA11/1 cRA5/1", 10},
		{"open sA1+10/1 cA1/11 sFA11/1 sRA5/1", 10},
		{"open sA1+10/1 cA1/11 cFA1/11 sA11/2 sRA5/2", 10},
		{"open cFA1/1 sFA1/2 cA2/2 sRA1/1", 10},
		{"open cRA1/1 cS0 cR0", 0},
		{"open cRA1/1 cRA1/1 cS0", 120},
		{"open sRA1/1 cRA1/1 cS0", 120},
		{"open cRA1/1 sS0 cS0", 120},
		{"open cRA1/1 cSA0/1 cS0", 120},
		{"open sRA1/1 cS0", 10},
		{"open sRA1/1 cS0 cS0", 10},
		{"open sRA1/1 cS0 sSA0/1", 60},
		{"open cRA1/1 sRA1/1 cS0", 10},
		{"open cRA1/1 sA1/1 cS0", 10},
		{"open cRA1/1 sSA0/1 cS0", 10},
	} {
		left, _ := followed(t, row.segments)
		require.Equal(t, row.want, left, row.segments)
	}
}

// The same for a thousand connections with randomly drawn segments. Half of them contain segments that do not fit.
func TestRandomConnectionsAreFollowedAsLinuxDoes(t *testing.T) {
	text, err := os.ReadFile("testdata/linux.txt")
	require.NoError(t, err)
	rows, dropped := 0, 0
	for line := range strings.Lines(string(text)) {
		segments, linux, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if !ok {
			continue // a comment
		}
		rows++
		segments, high := strings.CutPrefix(segments, "high ")
		prefix := ""
		if high {
			prefix = "high "
		}
		all := strings.Fields(strings.Replace(segments, "open", "cS0 sSA0/1 cA1/1", 1))
		for i, want := range strings.Fields(linux) {
			left, fates := followed(t, prefix+strings.Join(all[:i+1], " "))
			fate := "P"
			if strings.HasSuffix(fates, "x") || strings.HasSuffix(fates, ".") {
				fate = "D"
				dropped++
			}
			require.Equal(t, want, fmt.Sprint(left, fate), "%s%s, segment %d", prefix, segments, i+1)
		}
	}
	require.Greater(t, rows, 1000)
	require.Greater(t, dropped, 500)
}

// The last of these segments does not restart the timer: 4 s later Linux 6.18 showed 4 s less.
func TestSegmentsThatDoNotCountForAConnection(t *testing.T) {
	for _, segments := range []string{
		"cS0 cS0", "cS0 sA0/77", "cS0 cA1/1", "cS0 sSA0/1 sSA0/1", "cS0 sSA0/1 cS0", "open cS0", "open sS0", "open sSA0/1", "open cSA0/1", "open sRA0/1",
		"open cFA1/1 cS0", "open cFA1/1 sSA0/1", "open cRA1/1 sSA0/1", "open cFA1/1 sA1/2 sFA1/2 cA2/2 sSA0/1", "cS0 sS0", "open sRA1/1 cS0", "cA1/1 sS0",
	} {
		_, fates := followed(t, segments)
		require.Equal(t, strings.Repeat("+", len(fates)-1), strings.ReplaceAll(fates[:len(fates)-1], "-", "+"), segments)
		require.NotEqual(t, "+", fates[len(fates)-1:], segments)
	}
}

// If one side no longer knows an open connection and uses its addresses again, it counts as a new connection once
// both sides have spoken, as on Linux 6.18.
func TestASYNThatIsAnsweredBeginsAnew(t *testing.T) {
	c := &Conn{}
	for _, text := range strings.Fields("cS0 sSA0/1 cA1/1 cFA1/1 sA1/2") {
		s, opener := segmentFrom(t, text, false)
		c.heed(s, opener, false)
	}
	require.Equal(t, CloseWait, c.State())
	again := func(flags tcp.Flags, opener bool) {
		s := &tcp.Segment{Flags: flags, ISS: 99, IRS: 88, Window: 1000}
		if !opener {
			s.ISS, s.IRS, s.Ack = 88, 99, 1
		}
		c.heed(s, opener, false)
	}
	again(tcp.SYN, true)
	require.Equal(t, CloseWait, c.State())
	again(tcp.SYN|tcp.ACK, false)
	require.Equal(t, SynRecv, c.State())
}

// followed is for how many seconds a connection is remembered behind these segments, and what becomes of each: + it counts, = it counts, but
// does not set the time anew, - it is let through, x it is invalid, and . it is of no connection.
func followed(t *testing.T, segments string) (left int64, fates string) {
	var c *Conn
	segments, high := strings.CutPrefix(segments, "high ")
	for _, text := range strings.Fields(strings.Replace(segments, "open", "cS0 sSA0/1 cA1/1", 1)) {
		s, opener := segmentFrom(t, text, high)
		if c == nil {
			if !Begins(s, true) {
				fates += "."
				continue
			}
			c = new(New(s))
		}
		o := c.Segment(s, opener, Rules{})
		left = o.Until(0, left)
		switch {
		case o.Verdict == Invalid:
			fates += "x"
		case o.Verdict == Passes:
			fates += "-"
		case o.lasts > 0:
			fates += "+"
		default:
			fates += "="
		}
		if o.Over {
			c, left = nil, 0
		}
	}
	return left / int64(time.Second), fates
}

// segmentFrom reads a segment, and whether it is the client's. The numbers of high ones are above 2^31, and the server's begin again at 0 soon.
func segmentFrom(t *testing.T, text string, high bool) (s *tcp.Segment, opener bool) {
	m := segmentForm.FindStringSubmatch(text)
	require.NotNil(t, m, text)
	opener = m[1] == "c"
	s = &tcp.Segment{ISS: 1_000_000, IRS: 5_000_000, Window: 1000, SACKPermitted: m[7] != ""}
	if high {
		s.ISS, s.IRS = 3_000_000_000, 1<<32-296
	}
	if m[9] != "" {
		s.ISS += 500_000_000
	}
	if !opener {
		s.ISS, s.IRS = s.IRS, s.ISS
	}
	read := func(what string) (value uint64) {
		if what != "" && what != "z" {
			_, err := fmt.Sscan(what, &value)
			require.NoError(t, err)
		}
		return value
	}
	s.Seq, s.Ack = read(m[3]), read(m[5])
	s.Payload = make([]byte, read(m[4]))
	if m[6] != "" {
		s.Window = uint32(read(m[6]))
	}
	if m[8] != "" {
		s.SACKLen, s.SACK[0] = 1, tcp.Block{Start: read(m[8]) - 1, End: read(m[8])}
	}
	if m[3] == "z" {
		s.ISS = 0
	}
	if m[5] == "z" {
		s.IRS = 0
	}
	for i, f := range map[string]tcp.Flags{"S": tcp.SYN, "F": tcp.FIN, "R": tcp.RST, "A": tcp.ACK} {
		if strings.Contains(m[2], i) {
			s.Flags |= f
		}
	}
	return s, opener
}

// segmentForm is that of a segment: whose it is, flags, number, bytes, what it acknowledges, window, whether it permits selective
// acknowledgements, behind which number one ends that it has, and whether it is of another connection.
var segmentForm = regexp.MustCompile(`^([cs])([SFRA]+)(\d+|z)(?:\+(\d+))?(?:/(\d+|z))?(?:w(\d+))?(p)?(?:k(\d+))?(n)?$`)

// The timeouts of nf_conntrack_proto_udp.c, and those that are set in their place.
func TestDatagramsAreFollowedAsLinuxDoes(t *testing.T) {
	const s = int64(time.Second)
	for _, row := range []struct {
		set  time.Duration
		last []int64 // when the answers come; the question came at 1 s
		want int64   // for how long the pair is remembered after the last of them
	}{
		{0, nil, 30 * s},
		{0, []int64{2 * s, 4 * s}, 30 * s}, // for 2 s: not longer than that
		{0, []int64{2 * s, 4*s + 1}, 120 * s},
		{45 * time.Second, []int64{2 * s, 5 * s}, 45 * s},
	} {
		c := New(nil)
		require.Equal(t, UDP, c.State())
		now := s
		forgotten := c.Datagram(now, true, Timeouts{UDP: row.set}).Until(now, math.MaxInt64)
		for _, now = range row.last {
			forgotten = c.Datagram(now, false, Timeouts{UDP: row.set}).Until(now, forgotten)
		}
		require.Equal(t, row.want, forgotten-now)
	}
	c := New(nil)
	require.Equal(t, int64(math.MaxInt64), c.Datagram(s, true, Timeouts{UDP: math.MaxInt64}).Until(s, 0), "later than the last instant")
}

// Each state has Linux's timeout or the one that is set for it.
func TestWhichTimeoutAStateHas(t *testing.T) {
	set := Timeouts{Opening: 1, Established: 2, Closing: 3, UDP: 4}
	for state, want := range []time.Duration{1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 4} {
		require.Equal(t, want, set.Own(State(state)))
		require.Equal(t, want, set.of(State(state)))
		require.Zero(t, Timeouts{}.Own(State(state)))
		require.GreaterOrEqual(t, Timeouts{}.of(State(state)), 10*time.Second)
	}
}

// A liberal box takes a segment for one of the connection whatever its numbers are, but not one that no state allows.
func TestALiberalBoxDoesNotCompareNumbers(t *testing.T) {
	for _, liberal := range []bool{false, true} {
		var c *Conn
		var got []Verdict
		for _, text := range strings.Fields("cS0 sSA0/1 cA1/1 cA900000/1 sA1/900000 sS0") {
			s, opener := segmentFrom(t, text, false)
			if c == nil {
				c = new(New(s))
			}
			got = append(got, c.Segment(s, opener, Rules{Liberal: liberal}).Verdict)
		}
		want := []Verdict{Counts, Counts, Counts, Invalid, Invalid, Invalid}
		if liberal {
			want = []Verdict{Counts, Counts, Counts, Counts, Counts, Invalid}
		}
		require.Equal(t, want, got)
	}
}
