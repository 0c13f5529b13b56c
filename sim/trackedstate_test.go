package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// For how many seconds Linux 6.18 remembers a connection behind these segments, as conntrack -L showed it for segments that were put on a wire
// of its own; 0: it knows none. A segment is that of the client or of the server, its flags (S, F, R, A), its number, the bytes it has, and
// what it acknowledges; w0 is a window of nothing, n another connection of the same addresses. "open" is a handshake.
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
		k, c := &tracker{}, (*tracked)(nil)
		left := int64(0)
		for _, text := range strings.Fields(strings.Replace(row.segments, "open", "cS0 sSA0/1 cA1/1", 1)) {
			s, opener := segmentFrom(t, text)
			if c == nil {
				if !k.begins(&packet{proto: protoTCP, seg: s}) {
					continue
				}
				c = newTracked(tuple{}, tuple{}, s)
			}
			if c.heed(s, opener) {
				left = k.patience(c)
			}
			if c.vain() {
				c, left = nil, 0
				continue
			}
			c.answered = c.answered || !opener
		}
		require.Equal(t, row.want, left/int64(time.Second), row.segments)
	}
}

// The last of these segments does not set the time anew: 4 s later Linux 6.18 had 4 s less.
func TestSegmentsThatDoNotCountForAConnection(t *testing.T) {
	for _, segments := range []string{
		"cS0 cS0", "cS0 sA0/77", "cS0 cA1/1", "cS0 sSA0/1 sSA0/1", "cS0 sSA0/1 cS0", "open cS0", "open sS0", "open sSA0/1", "open cSA0/1", "open sRA0/1",
		"open cFA1/1 cS0", "open cFA1/1 sSA0/1", "open cRA1/1 sSA0/1", "open cFA1/1 sA1/2 sFA1/2 cA2/2 sSA0/1", "cS0 sS0", "open sRA1/1 cS0", "cA1/1 sS0",
	} {
		c := (*tracked)(nil)
		all := strings.Fields(strings.Replace(segments, "open", "cS0 sSA0/1 cA1/1", 1))
		for i, text := range all {
			s, opener := segmentFrom(t, text)
			if c == nil {
				c = newTracked(tuple{}, tuple{}, s)
			}
			require.Equal(t, i < len(all)-1, c.heed(s, opener), segments)
			c.answered = c.answered || !opener
		}
	}
}

// An open connection of the same addresses that one side knows nothing of any more is one anew once both speak of it, as Linux 6.18 has it.
func TestASYNThatIsAnsweredBeginsAnew(t *testing.T) {
	c := &tracked{}
	for _, text := range strings.Fields("cS0 sSA0/1 cA1/1 cFA1/1 sA1/2") {
		c.heed(segmentFrom(t, text))
	}
	require.Equal(t, trackCloseWait, c.state)
	again := func(flags tcp.Flags, opener bool) {
		s := &tcp.Segment{Flags: flags, ISS: 99, IRS: 88, Window: 1000}
		if !opener {
			s.ISS, s.IRS, s.Ack = 88, 99, 1
		}
		c.heed(s, opener)
	}
	again(tcp.SYN, true)
	require.Equal(t, trackCloseWait, c.state)
	again(tcp.SYN|tcp.ACK, false)
	require.Equal(t, trackSynRecv, c.state)
}

// segmentFrom reads a segment, and whether it is the client's.
func segmentFrom(t *testing.T, text string) (s *tcp.Segment, opener bool) {
	opener = text[0] == 'c'
	flags := text[1 : 1+strings.IndexAny(text[1:], "0123456789")]
	rest := text[1+len(flags):]
	rest, anew := strings.CutSuffix(rest, "n")
	s = &tcp.Segment{ISS: 77, IRS: 88, Window: 1000}
	if anew {
		s.ISS = 99
	}
	if !opener {
		s.ISS, s.IRS = s.IRS, s.ISS
	}
	rest, shut := strings.CutSuffix(rest, "w0")
	if shut {
		s.Window = 0
	}
	number, ack, _ := strings.Cut(rest, "/")
	number, bytes, _ := strings.Cut(number, "+")
	read := func(what string) (value uint64) {
		if what != "" {
			_, err := fmt.Sscan(what, &value)
			require.NoError(t, err)
		}
		return value
	}
	s.Seq, s.Ack = read(number), read(ack)
	s.Payload = make([]byte, read(bytes))
	for i, f := range map[string]tcp.Flags{"S": tcp.SYN, "F": tcp.FIN, "R": tcp.RST, "A": tcp.ACK} {
		if strings.Contains(flags, i) {
			s.Flags |= f
		}
	}
	return s, opener
}
