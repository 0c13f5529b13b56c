package tcp

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The scripts in testdata/scripts put one endpoint through a sequence of segments,
// calls and times, in the manner of packetdrill. A script begins with a line
//
//	== name: the reason
//
// Each further line has a time in milliseconds, absolute or relative to the line
// before ("+10"), and one of
//
//	< SEGMENT          arrives
//	> SEGMENT          must be sent at exactly that time; nothing else may be sent
//	write N, read N, close, closewrite, closeread, abort, nodelay on|off
//	dial, unreachable SEQ [CODE] (host by default, net, protocol or port), toobig SEQ MTU
//	! FACT             state NAME, err NAME, cwnd N, ssthresh N, readable N, eof,
//	                   unsent N, rto MS, lookahead MS, recovery NAME, writable, blocked, events A,B
//	quiet              nothing was sent up to that time
//
// SEGMENT is FLAGS SEQ+LENGTH and fields: ack N, win N, sack A:B ..., mss N, scale N,
// sackok, ts VAL ECR (milliseconds), iss N and irs N of a connection that is not the one
// at hand (whose initial sequence numbers are 0), and for what is sent also nosack, nopush and a
// kind: rtx, tlp, probe, keepalive. A field that an expected segment does not name may have any value.
//
// "config NAME=VALUE ..." changes the parameters. "client OPTIONS" and "server
// OPTIONS" open a connection at a round-trip time of rtt= (100) ms to a peer with the
// options mss= (1000), win= (65000), scale=, sack, ts, and set the time to 0.
type script struct {
	name, reason, file string
	lines              []string
}

func loadScripts(t *testing.T) (all []script) {
	t.Helper()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		for i, line := range strings.Split(string(raw), "\n") {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			if head, ok := strings.CutPrefix(line, "== "); ok {
				name, reason, _ := strings.Cut(head, ": ")
				all = append(all, script{name: name, reason: reason, file: fmt.Sprintf("%s:%d", f, i+1)})
			} else if line != "" {
				require.NotEmpty(t, all, "%s:%d", f, i+1)
				s := &all[len(all)-1]
				s.lines = append(s.lines, line)
			}
		}
	}
	return all
}

func TestScripts(t *testing.T) {
	all := loadScripts(t)
	names := map[string]bool{}
	for _, s := range all {
		require.False(t, names[s.name], "two scripts are called %q", s.name)
		require.NotEmpty(t, s.reason, s.name)
		names[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			r := &runner{t: t, s: s, cfg: Config{CongestionControl: "reno", KeepAlive: KeepAlive{Off: true}}}
			r.run()
		})
	}
	require.GreaterOrEqual(t, len(names), 60)
}

type runner struct {
	t      *testing.T
	s      script
	line   string
	cfg    Config
	full   *Config
	conn   *Conn
	base   Time // where the script's times start
	now    Time
	sent   []sentSegment
	runs   []int // of how many segments
	events Events
	fresh
}

type sentSegment struct {
	at Time
	s  *Segment
}

func (r *runner) NewSegment() *Segment     { return new(Segment) }
func (r *runner) Send(_ *Conn, s *Segment) { r.sent = append(r.sent, sentSegment{r.now, s}) }

func (r *runner) SendRun(c *Conn, s *Segment) {
	r.runs = append(r.runs, s.Run())
	SendApart(r, c, s)
}

func (r *runner) fail(format string, args ...any) {
	r.t.Helper()
	require.FailNow(r.t, fmt.Sprintf(format, args...), "%s: %s\nin the line: %s", r.s.file, r.s.reason, r.line)
}

func (r *runner) run() {
	at := Time(0)
	for _, r.line = range r.s.lines {
		words := strings.Fields(r.line)
		switch words[0] {
		case "config":
			r.configure(words[1:])
			continue
		case "client", "server":
			r.open(words[0] == "server", words[1:])
			at = 0
			continue
		}
		at = r.time(words[0], at)
		r.act(at, words[1], words[2:])
	}
	r.line = "(end)"
	r.nothingSent()
}

func (r *runner) ms(word string) Time {
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		r.fail("%q is not a time", word)
	}
	return Time(f*1e6 + 0.5)
}

func (r *runner) time(word string, last Time) Time {
	if rest, ok := strings.CutPrefix(word, "+"); ok {
		return last + r.ms(rest)
	}
	return r.ms(word)
}

func (r *runner) number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		r.fail("%q is not a number", word)
	}
	return n
}

func (r *runner) configure(words []string) {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "cc":
			r.cfg.CongestionControl = value
		case "linear":
			r.cfg.SynLinearTimeouts = r.number(value)
		case "iw":
			r.cfg.InitialCwnd = r.number(value)
		case "retries2":
			r.cfg.Retries2 = r.number(value)
		case "keepalive":
			r.cfg.KeepAlive = KeepAlive{}
		case "usertimeout":
			r.cfg.UserTimeout = r.ms(value)
		case "fintimeout":
			r.cfg.FinTimeout = r.ms(value)
		case "notlp":
			r.cfg.NoTailLossProbe = true
		case "nofrto":
			r.cfg.NoFRTO = true
		case "sndbuf":
			r.cfg.SendBuffer = Buffer{Default: r.number(value), Max: r.number(value)}
		case "rcvbuf":
			r.cfg.ReceiveBuffer = Buffer{Default: r.number(value), Max: r.number(value)}
		default:
			r.fail("no parameter %q", key)
		}
	}
}

// open runs a handshake. The peer takes half of the round trip each way.
func (r *runner) open(server bool, words []string) {
	peer := &Segment{MSS: 1000, Window: 65000}
	rtt := 100 * time.Millisecond
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "rtt":
			rtt = r.ms(value)
		case "mss":
			peer.MSS = uint16(r.number(value))
		case "win":
			peer.Window = uint32(r.number(value))
		case "scale":
			peer.HasScale, peer.Scale = true, uint8(r.number(value))
		case "sack":
			peer.SACKPermitted = true
		case "ts":
			peer.HasTimestamps, peer.TSVal = true, time.Millisecond
		default:
			r.fail("no option %q", key)
		}
	}
	if server {
		peer.Flags = SYN
		r.conn = Accept(r.complete(), r, 1500, 0, 0, peer)
		*peer = Segment{Flags: ACK, Seq: 1, Ack: 1, Window: peer.Window, HasTimestamps: peer.HasTimestamps}
	} else {
		r.conn = Dial(r.complete(), r, 1500, 0, 0)
		peer.Flags, peer.Ack = SYN|ACK, 1
	}
	if len(r.sent) != 1 {
		r.fail("%d segments sent, not one", len(r.sent))
	}
	if peer.HasTimestamps {
		peer.TSVal, peer.TSEcr = rtt, r.sent[0].s.TSVal
	}
	r.sent = nil
	r.now = rtt
	r.conn.Input(rtt, peer)
	if r.conn.State() != Established {
		r.fail("the handshake led to %v", r.conn.State())
	}
	r.sent = nil
	r.base = rtt
	r.events = 0
	r.conn.Events()
}

func (r *runner) complete() *Config {
	if r.full == nil {
		full, err := r.cfg.Complete()
		require.NoError(r.t, err)
		r.full = full
	}
	return r.full
}

// advance runs timers before an instant, and those at it if including.
func (r *runner) advance(to Time, including bool) {
	for r.conn != nil {
		next := r.conn.NextTimer()
		if next > to || next == to && !including {
			break
		}
		r.now = next
		r.conn.Timeout(next)
	}
	r.now = to
}

func (r *runner) nothingSent() {
	r.t.Helper()
	if len(r.sent) > 0 {
		x := r.sent[0]
		r.fail("unexpected at %v: %s", (x.at-r.base).Seconds()*1e3, describe(x.s))
	}
}

func (r *runner) act(at Time, verb string, words []string) {
	r.t.Helper()
	abs := at + r.base
	if abs < r.now {
		r.fail("goes back in time")
	}
	if verb == ">" {
		r.expect(abs, words)
		return
	}
	r.advance(abs, verb == "quiet" || verb == "!")
	r.nothingSent()
	c := r.conn
	switch verb {
	case "quiet":
	case "!":
		r.check(words)
	case "<":
		s := r.parse(words)
		if c == nil {
			r.conn = Accept(r.complete(), r, 1500, 0, abs, s)
			return
		}
		take(r.t, c, abs, s, false)
	case "dial":
		r.conn = Dial(r.complete(), r, 1500, 0, abs)
	case "write":
		n := r.number(words[0])
		for n > 0 {
			k := c.Write(abs, zeros[:n])
			if k == 0 {
				break
			}
			n -= k
		}
	case "read":
		c.Read(abs, scratch[:r.number(words[0])])
	case "close":
		c.Close(abs)
	case "closewrite":
		c.CloseWrite(abs)
	case "closeread":
		c.CloseRead(abs)
	case "abort":
		c.Abort(abs)
	case "nodelay":
		c.SetNoDelay(abs, words[0] == "on")
	case "unreachable":
		code := "host"
		if len(words) > 1 {
			code = words[1]
		}
		m, known := icmpCodes[code]
		if !known {
			r.fail("no code %q", code)
		}
		c.Unreachable(abs, uint64(r.number(words[0])), m.code, Reaction{m.routing, m.routing})
	case "toobig":
		c.TooBig(abs, uint64(r.number(words[0])), r.number(words[1]))
	default:
		r.fail("no verb %q", verb)
	}
}

var flagLetters = map[rune]Flags{'F': FIN, 'S': SYN, 'R': RST, 'P': PSH, 'A': ACK}

var icmpCodes = map[string]struct {
	code    Code
	routing bool
}{"host": {HostUnreachable, true}, "net": {NetUnreachable, true}, "protocol": {NoProtocol, false}, "port": {Refused, false}}

var kindNames = map[string]Kind{"rtx": Retransmission, "tlp": TailLossProbe, "probe": WindowProbe, "keepalive": KeepAliveProbe}

// parse reads a segment that arrives.
func (r *runner) parse(words []string) *Segment {
	s := &Segment{Window: 65000}
	for _, l := range words[0] {
		s.Flags |= flagLetters[l]
	}
	seq, length, ok := strings.Cut(words[1], "+")
	s.Seq = uint64(r.number(seq))
	if ok {
		s.Payload = zeros[:r.number(length)]
	}
	for i := 2; i < len(words); i++ {
		arg := func() string { i++; return words[i] }
		switch words[i] {
		case "ack":
			s.Ack = uint64(r.number(arg()))
		case "win":
			s.Window = uint32(r.number(arg()))
		case "iss":
			s.ISS = uint32(r.number(arg()))
		case "irs":
			s.IRS = uint32(r.number(arg()))
		case "mss":
			s.MSS = uint16(r.number(arg()))
		case "scale":
			s.HasScale, s.Scale = true, uint8(r.number(arg()))
		case "sackok":
			s.SACKPermitted = true
		case "ts":
			s.HasTimestamps, s.TSVal, s.TSEcr = true, r.ms(arg()), r.ms(arg())
		case "sack":
			for i+1 < len(words) && strings.Contains(words[i+1], ":") {
				a, b, _ := strings.Cut(arg(), ":")
				s.SACK[s.SACKLen] = Block{uint64(r.number(a)), uint64(r.number(b))}
				s.SACKLen++
			}
		default:
			if _, ok := kindNames[words[i]]; !ok && words[i] != "nosack" && words[i] != "nopush" {
				r.fail("no field %q", words[i])
			}
		}
	}
	return s
}

// expect compares the next segment that was sent.
func (r *runner) expect(at Time, words []string) {
	r.t.Helper()
	r.advance(at, true)
	if len(r.sent) == 0 {
		next := "no timer"
		if r.conn != nil && r.conn.NextTimer() != Never {
			next = fmt.Sprintf("next timer at %v", float64(r.conn.NextTimer()-r.base)/1e6)
		}
		r.fail("nothing was sent; %s", next)
	}
	got := r.sent[0]
	r.sent = r.sent[1:]
	want := r.parse(words)
	ok := got.at == at && got.s.Seq == want.Seq && len(got.s.Payload) == len(want.Payload)
	ok = ok && got.s.Flags|PSH == want.Flags|PSH && (want.Flags&PSH == 0 || got.s.Flags&PSH != 0)
	kind := Original
	for _, w := range words {
		switch w {
		case "ack":
			ok = ok && got.s.Ack == want.Ack
		case "win":
			ok = ok && got.s.Window == want.Window
		case "mss":
			ok = ok && got.s.MSS == want.MSS
		case "scale":
			ok = ok && got.s.HasScale && got.s.Scale == want.Scale
		case "sackok":
			ok = ok && got.s.SACKPermitted
		case "nosack":
			ok = ok && got.s.SACKLen == 0
		case "nopush":
			ok = ok && got.s.Flags&PSH == 0
		case "ts":
			ok = ok && got.s.HasTimestamps && got.s.TSVal == want.TSVal && got.s.TSEcr == want.TSEcr
		case "sack":
			ok = ok && got.s.SACKLen == want.SACKLen && got.s.SACK == want.SACK
		}
		if k, is := kindNames[w]; is {
			kind = k
		}
	}
	ok = ok && got.s.Kind == kind
	if !ok {
		r.fail("sent at %v: %s", float64(got.at-r.base)/1e6, describe(got.s))
	}
}

var eventNames = []string{"connected", "readable", "writable", "failed", "closed"}

func (r *runner) check(words []string) {
	r.t.Helper()
	i := r.conn.Info()
	var got, want string
	if len(words) > 1 {
		want = words[1]
	}
	switch words[0] {
	case "state":
		got = i.State.String()
	case "err":
		got = strings.ReplaceAll(r.conn.Err().String(), " ", "-")
	case "cwnd":
		got = strconv.Itoa(i.Cwnd)
	case "ssthresh":
		got = strconv.Itoa(i.SSThresh)
	case "readable":
		got = strconv.Itoa(r.conn.Readable())
	case "unsent":
		got = strconv.Itoa(i.NotSent)
	case "recovery":
		got = i.Recovery
	case "mss":
		got = strconv.Itoa(i.MSS)
	case "rto":
		got = strconv.FormatFloat(float64(i.RTO)/1e6, 'f', -1, 64)
	case "lookahead":
		got = strconv.FormatFloat(float64(r.conn.Lookahead(r.now))/1e6, 'f', -1, 64)
	case "srtt":
		got = strconv.FormatFloat(float64(i.SRTT)/1e6, 'f', -1, 64)
	case "eof":
		got, want = strconv.FormatBool(r.conn.EOF()), "true"
	case "writable":
		got, want = strconv.FormatBool(r.conn.Writable()), "true"
	case "blocked":
		got, want = strconv.FormatBool(r.conn.Writable()), "false"
	case "events":
		ev := r.conn.Events()
		var names []string
		for k, name := range eventNames {
			if ev&(1<<k) != 0 {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		got = strings.Join(names, ",")
	default:
		r.fail("no fact %q", words[0])
	}
	if got != want {
		r.fail("%s is %s", words[0], got)
	}
}
