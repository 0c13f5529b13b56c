package sim_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// nameNet is a phone that asks a name server 10 ms away.
type nameNet struct {
	n         *sim.Network
	ns, phone *sim.Host
	server    *sim.NameServer
	link      *sim.Link
}

func newNameNet(n *sim.Network, cfg sim.NameServerConfig) nameNet {
	x := nameNet{n: n, ns: n.Host("ns"), phone: n.Host("phone")}
	x.link = n.Link(x.phone, x.ns, netem.Config{Delay: 10 * time.Millisecond})
	x.server = x.ns.ServeNames(cfg)
	x.phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{x.ns}})
	return x
}

// What Go's resolver returns when a name server is in trouble, and after how long.
func TestWhatGoSeesOfNameServers(t *testing.T) {
	const (
		found    = "found"
		notFound = "no such host: not found"
		refused  = "connection refused: temporary"
		timeout  = "i/o timeout: timeout temporary"
		odd      = "server misbehaving"
		oddNow   = odd + ": temporary"
	)
	for _, row := range []struct {
		name      string
		cfg       sim.NameServerConfig
		begin     func(x nameNet)
		want      string
		after     time.Duration
		questions int // that were sent, those over TCP included
	}{
		{name: "an answer", want: found, after: 20 * time.Millisecond, questions: 2},
		{name: "NXDOMAIN", begin: func(x nameNet) { x.server.Fail("api.example", sim.NameNotFound) }, want: notFound, after: 20 * time.Millisecond, questions: 2},
		{name: "removed", begin: func(x nameNet) { x.server.Set("api.example") }, want: notFound, after: 20 * time.Millisecond, questions: 2},
		{name: "no address", begin: func(x nameNet) { x.server.Set("api.example", "TXT nothing") }, want: notFound, after: 20 * time.Millisecond, questions: 2},
		{name: "SERVFAIL", begin: func(x nameNet) { x.server.Fail("", sim.NameServerFails) }, want: oddNow, after: 40 * time.Millisecond, questions: 4},
		{name: "REFUSED", begin: func(x nameNet) { x.server.Fail("api.example", sim.NameRefused) }, want: odd, after: 40 * time.Millisecond, questions: 4},
		{name: "FORMERR", begin: func(x nameNet) { x.server.Fail("api.example", sim.NameFormatError) }, want: odd, after: 40 * time.Millisecond, questions: 4},
		{name: "NOTIMP", begin: func(x nameNet) { x.server.Fail("api.example", sim.NameNotDone) }, want: odd, after: 40 * time.Millisecond, questions: 4},
		{name: "silence", begin: func(x nameNet) { x.server.Silence("") }, want: timeout, after: 10 * time.Second, questions: 4},
		{name: "no power", begin: func(x nameNet) { x.ns.PowerOff() }, want: timeout, after: 10 * time.Second, questions: 4},
		{name: "no process", begin: func(x nameNet) { x.ns.Crash() }, want: refused, after: 40 * time.Millisecond, questions: 4},
		{name: "slow", begin: func(x nameNet) { x.server.Delay("api.example", 3*time.Second) }, want: found, after: 3020 * time.Millisecond, questions: 2},
		{name: "too slow", begin: func(x nameNet) { x.server.Delay("", 6*time.Second) }, want: timeout, after: 10 * time.Second, questions: 4},
		{name: "truncated", begin: func(x nameNet) { x.server.Truncate("") }, want: found, after: 60 * time.Millisecond, questions: 4},
		{name: "truncated, without TCP", cfg: sim.NameServerConfig{NoTCP: true}, begin: func(x nameNet) { x.server.Truncate("") }, want: refused, after: 80 * time.Millisecond, questions: 4},
		{name: "truncated, and then SERVFAIL", begin: func(x nameNet) {
			x.server.Truncate("")
			x.server.Fail("", sim.NameServerFails)
		}, want: oddNow, after: 120 * time.Millisecond, questions: 8},
		{name: "a loop of aliases", begin: func(x nameNet) {
			x.server.Set("api.example", "CNAME b.example")
			x.server.Set("b.example", "CNAME api.example")
		}, want: oddNow, after: 40 * time.Millisecond, questions: 4},
		{name: "an alias to nowhere", begin: func(x nameNet) { x.server.Set("api.example", "CNAME nobody.example") }, want: notFound, after: 20 * time.Millisecond, questions: 2},
		{name: "healed", begin: func(x nameNet) {
			x.server.Silence("")
			x.n.After(time.Second, func() { x.server.Heal("") })
		}, want: found, after: 5020 * time.Millisecond, questions: 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				row.cfg.Records = map[string][]string{"Api.example.": {"A 10.0.0.9"}}
				x := newNameNet(n, row.cfg)
				if row.begin != nil {
					row.begin(x)
				}
				addrs, err := x.phone.Resolver().LookupHost(t.Context(), "api.example")
				require.Equal(t, row.want, whatOf(err))
				if err == nil {
					require.Equal(t, []string{"10.0.0.9"}, addrs)
				}
				require.Equal(t, row.after, n.Elapsed().Truncate(time.Microsecond))
				require.Equal(t, row.questions, questionsIn(n))
			}, sim.Strict())
		})
	}
}

// whatOf returns the end of a DNSError's reason, and the kind of the error.
func whatOf(err error) string {
	if err == nil {
		return "found"
	}
	var e *net.DNSError
	if !errors.As(err, &e) {
		return err.Error()
	}
	parts := strings.Split(e.Err, ": ")
	var kinds []string
	for kind, is := range map[string]bool{"not found": e.IsNotFound, "timeout": e.IsTimeout, "temporary": e.IsTemporary} {
		if is {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	slices.Reverse(kinds)
	if len(kinds) == 0 {
		return parts[len(parts)-1]
	}
	return parts[len(parts)-1] + ": " + strings.Join(kinds, " ")
}

// questionsIn counts the packets with a payload that were sent to a name server.
func questionsIn(n *sim.Network) (count int) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.TargetPort == 53 && e.Length > 0 {
			count++
		}
	}
	return count
}

// The second of two servers is asked after the first one fails, and no server after that.
func TestTheSecondNameServerIsAsked(t *testing.T) {
	{
		for _, row := range []struct {
			name      string
			begin     func(first, second *sim.NameServer)
			want      string
			after     time.Duration
			questions int
		}{
			{"the first answers", func(_, second *sim.NameServer) { second.Silence("") }, "found", 20 * time.Millisecond, 2},
			{"the first is silent", func(first, _ *sim.NameServer) { first.Silence("") }, "found", 5020 * time.Millisecond, 4},
			{"the first has a problem", func(first, _ *sim.NameServer) { first.Fail("", sim.NameServerFails) }, "found", 40 * time.Millisecond, 4},
			{"the first knows of nothing", func(first, _ *sim.NameServer) { first.Fail("", sim.NameNotFound) }, "no such host: not found", 20 * time.Millisecond, 2},
			{"both are silent", func(first, second *sim.NameServer) { first.Silence(""); second.Silence("") }, "i/o timeout: timeout temporary", 10 * time.Second, 4},
			{"the second refuses", func(first, second *sim.NameServer) { first.Silence(""); second.Fail("", sim.NameRefused) }, "server misbehaving", 5020 * time.Millisecond, 4},
		} {
			t.Run(row.name, func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					x := newNameNet(n, sim.NameServerConfig{})
					second := n.Host("ns2")
					n.Link(x.phone, second, netem.Config{Delay: 10 * time.Millisecond})
					row.begin(x.server, second.ServeNames(sim.NameServerConfig{}))
					x.phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{x.ns, second}})
					for range 3 { // each look-up begins at the instant at which the one before ended
						before, asked := n.Elapsed(), questionsIn(n)
						_, err := x.phone.Resolver().LookupHost(t.Context(), "phone")
						require.Equal(t, row.want, whatOf(err))
						require.Equal(t, row.after, (n.Elapsed() - before).Truncate(time.Microsecond))
						require.Equal(t, row.questions, questionsIn(n)-asked)
					}
				})
			})
		}
	}
}

// A resolver that reads of three servers and three attempts in the operating system's resolv.conf makes nine
// attempts. The network sees two of them; the others return the outcome of the second at once.
func TestTriesDoNotDependOnTheMachine(t *testing.T) {
	machineFiles(t, "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\noptions attempts:3 timeout:2\n", "")
	for _, silent := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			x := newNameNet(n, sim.NameServerConfig{})
			took := 20 * time.Millisecond
			if x.server.Fail("", sim.NameServerFails); silent {
				x.server.Silence("")
				took = 5 * time.Second
			}
			r := x.phone.Resolver()
			q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
			for try := range 20 {
				q.ID = uint16(try)
				b, err := q.Pack()
				require.NoError(t, err)
				before, asked := n.Elapsed(), questionsIn(n)
				c, err := r.Dial(t.Context(), "udp", "192.0.2.1:53")
				require.NoError(t, err)
				require.NoError(t, c.SetDeadline(time.Now().Add(2*time.Second)), "the timeout of the machine")
				_, err = c.Write(b)
				require.NoError(t, err)
				p := make([]byte, 512)
				k, err := c.Read(p)
				if silent {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				} else {
					require.NoError(t, err)
					var m dnsmessage.Message
					require.NoError(t, m.Unpack(p[:k]))
					require.EqualValues(t, try, m.ID)
					require.Equal(t, dnsmessage.RCodeServerFailure, m.RCode)
				}
				c.Close()
				if try%9 < 2 {
					require.Equal(t, 1, questionsIn(n)-asked, "try %d", try)
					require.Equal(t, took, (n.Elapsed() - before).Truncate(time.Microsecond))
				} else {
					require.Zero(t, questionsIn(n)-asked, "try %d", try)
					require.Equal(t, before, n.Elapsed())
				}
			}
		})
	}
}

// A Go program can look up records of all types.
func TestNameServersHaveRecordsOfAllTypes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{Records: map[string][]string{
			"web.example":           {"A 10.0.0.9", "AAAA 2001:db8::9", "300 MX 10 mail.example", "MX 5 b.example", `TXT "v=spf1 -all" "and \"more\""`, "TXT plain words"},
			"www.example":           {"CNAME web.example"},
			"_http._tcp.example":    {"SRV 10 5 80 web.example", "SRV 1 5 8080 www.example"},
			"9.0.0.10.in-addr.arpa": {"PTR web.example"},
			"*.wild.example":        {"A 10.0.0.8"},
			"exact.wild.example":    {"TXT only"},
			"example":               {"NS ns"},
			"long.example":          {"TXT " + strings.Repeat("x", 600)},
			"alias.example":         {"CNAME phone"},
			"ns":                    {},
		}})
		r, ctx := x.phone.Resolver(), t.Context()
		ips, err := r.LookupIP(ctx, "ip4", "WWW.example")
		require.NoError(t, err)
		require.Equal(t, "[10.0.0.9]", fmt.Sprint(ips))
		ips, err = r.LookupIP(ctx, "ip6", "www.example")
		require.NoError(t, err)
		require.Equal(t, "[2001:db8::9]", fmt.Sprint(ips))
		name, err := r.LookupCNAME(ctx, "www.example")
		require.NoError(t, err)
		require.Equal(t, "web.example.", name)
		mx, err := r.LookupMX(ctx, "web.example")
		require.NoError(t, err)
		require.Equal(t, []*net.MX{{Host: "b.example.", Pref: 5}, {Host: "mail.example.", Pref: 10}}, mx)
		txt, err := r.LookupTXT(ctx, "web.example")
		require.NoError(t, err)
		require.Equal(t, []string{`v=spf1 -alland "more"`, "plain words"}, txt)
		_, srv, err := r.LookupSRV(ctx, "http", "tcp", "example")
		require.NoError(t, err)
		require.Equal(t, []*net.SRV{{Target: "www.example.", Port: 8080, Priority: 1, Weight: 5}, {Target: "web.example.", Port: 80, Priority: 10, Weight: 5}}, srv)
		for _, row := range [][2]string{{"10.0.0.9", "web.example."}, {x.phone.Addr().String(), "phone."}} {
			names, err := r.LookupAddr(ctx, row[0])
			require.NoError(t, err)
			require.Equal(t, []string{row[1]}, names)
		}
		ns, err := r.LookupNS(ctx, "example")
		require.NoError(t, err)
		require.Equal(t, []*net.NS{{Host: "ns."}}, ns)
		for _, row := range [][2]string{
			{"a.wild.example", "10.0.0.8"}, {"a.b.wild.example", "10.0.0.8"}, {"alias.example", x.phone.Addr().String()}, {"phone", x.phone.Addr().String()},
		} {
			addrs, err := r.LookupHost(ctx, row[0])
			require.NoError(t, err, row)
			require.Contains(t, addrs, row[1], row)
		}
		for _, name := range []string{"exact.wild.example", "wild.example", "ns", "nobody"} {
			_, err = r.LookupHost(ctx, name)
			require.Equal(t, "no such host: not found", whatOf(err), name)
		}
		txt, err = r.LookupTXT(ctx, "long.example") // of several strings
		require.NoError(t, err)
		require.Equal(t, []string{strings.Repeat("x", 600)}, txt)
	})
}

// An answer too long for UDP arrives over TCP. The limit is the size that the client announces.
func TestLongAnswersComeByTCP(t *testing.T) {
	for _, row := range []struct{ addresses, udp, want int }{
		{75, 0, 1}, {76, 0, 2}, {30, 512, 1}, {31, 512, 2}, {2000, 0, 2}, // of 16 bytes each, beside 30
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			x := newNameNet(n, sim.NameServerConfig{MaxUDP: row.udp})
			var records, want []string
			for i := range row.addresses {
				addr := fmt.Sprintf("10.1.%d.%d", i/256, i%256)
				records, want = append(records, "A "+addr), append(want, addr)
			}
			x.server.Set("a", records...)
			got, err := x.phone.Resolver().LookupIP(t.Context(), "ip4", "a")
			require.NoError(t, err)
			require.Len(t, got, len(want))
			require.Equal(t, want[len(want)-1], got[len(got)-1].String())
			require.Equal(t, row.want, questionsIn(n), "%d addresses", row.addresses)
		})
	}
}

// Clients other than Go's resolver can distinguish a name without records from an unknown name, and see which answers
// fit into 512 bytes.
func TestNameServerForAnyClient(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{Records: map[string][]string{"a.b.example": {"A 10.0.0.9"}, "gone.example": {}, "a.left.example": {}, "*.w.example": {"A 10.0.0.8"},
			"alias.example": {"CNAME other.example"}, "other.example": {"CNAME nobody.example"}, "loop.example": {"CNAME pool.example"}, "pool.example": {"CNAME loop.example"},
			"y.w.example": {"A 10.0.0.6"}, "a.b.w.example": {"A 10.0.0.5"}}})
		n.Host("host.w.example")
		for i := range 12 { // k1 to k12 are aliases, each of the next one
			x.server.Set(fmt.Sprint("k", i+1), fmt.Sprint("CNAME k", i+2))
		}
		x.server.Set("k13", "A 10.0.0.3")
		for i := range 31 {
			x.server.Set("many", slices.Repeat([]string{"A 10.0.0.7"}, i+1)...)
		}
		c, err := x.phone.Dial("udp", x.ns.Addr().String()+":53")
		require.NoError(t, err)
		for _, row := range []struct {
			name    string
			kind    dnsmessage.Type
			class   dnsmessage.Class
			code    dnsmessage.RCode
			answers int
			soa     bool
		}{
			{"A.b.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 1, false},
			{"a.b.example.", dnsmessage.TypeMX, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 0, true},
			{"b.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 0, true}, // something is below it
			{"example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 0, true},
			{"gone.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true},
			{"left.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true}, // what was below it is gone
			{"alias.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 2, true},
			{"alias.example.", dnsmessage.TypeCNAME, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 1, false}, // who asks for the alias itself is not led on
			{"alias.example.", dnsmessage.TypeALL, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 1, false},
			{"k2.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 12, false}, // eleven aliases, and what they lead to
			{"k1.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeServerFailure, 0, false},
			{"loop.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeServerFailure, 0, false},
			{"x.a.b.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true},
			{"x.w.example.", dnsmessage.TypeALL, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 1, false},
			{"x.z.w.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 1, false},
			{"x.y.w.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true}, // y.w.example exists
			{"b.w.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 0, true},     // and this too
			{"x.b.w.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true},
			{"x.host.w.example.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true},
			{"a.b.example.", dnsmessage.TypeAXFR, dnsmessage.ClassINET, dnsmessage.RCodeNotImplemented, 0, false},
			{".", dnsmessage.TypeNS, dnsmessage.ClassINET, dnsmessage.RCodeNameError, 0, true},
			{"a.b.example.", dnsmessage.TypeTXT, dnsmessage.ClassCHAOS, dnsmessage.RCodeRefused, 0, false},
			{"many.", dnsmessage.TypeA, dnsmessage.ClassINET, dnsmessage.RCodeSuccess, 30, false}, // 31 are truncated without EDNS
		} {
			q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(row.name), Type: row.kind, Class: row.class}}}
			b, err := q.Pack()
			require.NoError(t, err)
			c.Write(b)
			p := make([]byte, 2000)
			k, err := c.Read(p)
			require.NoError(t, err)
			require.LessOrEqual(t, k, 512)
			var m dnsmessage.Message
			require.NoError(t, m.Unpack(p[:k]))
			require.Equal(t, row.code, m.RCode, row.name)
			require.Len(t, m.Answers, row.answers, row.name)
			require.Equal(t, row.soa, len(m.Authorities) == 1, row.name)
			require.Equal(t, row.name == "many.", m.Truncated)
		}
	})
}

func TestRoundRobin(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		for _, on := range []bool{false, true} {
			ns := n.Host(fmt.Sprint("ns-", on))
			ns.ServeNames(sim.NameServerConfig{RoundRobin: on, Records: map[string][]string{"a": {"A 10.0.0.7", "A 10.0.0.8", "A 10.0.0.9"}}})
			phone := n.Host(fmt.Sprint("phone-", on))
			phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{ns}})
			var first []string
			for range 4 {
				addrs, err := phone.Resolver().LookupHost(t.Context(), "a")
				require.NoError(t, err)
				require.Len(t, addrs, 3)
				first = append(first, addrs[0][len("10.0.0."):])
			}
			require.Equal(t, map[bool]string{false: "7 7 7 7", true: "7 8 9 7"}[on], strings.Join(first, " "))
		}
	})
}

// A name server is a process: it stops, freezes and starts again with its host, and keeps its configuration.
func TestNameServersAreProcesses(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{})
		x.server.Set("a", "A 10.0.0.9")
		look := func() (string, time.Duration) {
			before := n.Elapsed()
			_, err := x.phone.Resolver().LookupHost(t.Context(), "a")
			return whatOf(err), (n.Elapsed() - before).Truncate(time.Microsecond)
		}
		n.After(2*time.Second, x.ns.Resume)
		x.ns.Pause()
		what, took := look()
		require.Equal(t, "found", what)
		require.Equal(t, 2010*time.Millisecond, took, "the question waited for 1.99 s")
		x.ns.Restart()
		what, took = look()
		require.Equal(t, "found", what)
		require.Equal(t, 20*time.Millisecond, took)

		x.server.Delay("", time.Second)
		n.After(500*time.Millisecond, x.ns.Crash)
		n.After(600*time.Millisecond, x.ns.Restart)
		what, took = look()
		require.Equal(t, "found", what, "the answer to the first question was lost with the process")
		require.Equal(t, 6020*time.Millisecond, took)
	})
}

// Each answer is delayed by its own delay, whatever else waits. Answers due at one instant are sent in the order of
// their questions.
func TestLateAnswersComeWhenTheyAreDue(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{})
		x.server.Delay("slow", 3*time.Second)
		x.server.Delay("quick", time.Second)
		x.server.Delay("also", time.Second)
		x.server.Delay("later", 2*time.Second)
		c, err := x.phone.Dial("udp", x.ns.Addr().String()+":53")
		require.NoError(t, err)
		for i, name := range []string{"slow", "quick", "also", "later", "quick"} {
			q := dnsmessage.Message{
				Header:    dnsmessage.Header{ID: uint16(i)},
				Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
			}
			message, err := q.Pack()
			require.NoError(t, err)
			c.Write(message)
		}
		var got []string
		for range 5 {
			p := make([]byte, 512)
			k, err := c.Read(p)
			require.NoError(t, err)
			var m dnsmessage.Message
			require.NoError(t, m.Unpack(p[:k]))
			got = append(got, fmt.Sprintf("%s %d after %v", m.Questions[0].Name, m.ID, n.Elapsed()))
		}
		require.Equal(t, []string{"quick. 1 after 1.02s", "also. 2 after 1.02s", "quick. 4 after 1.02s", "later. 3 after 2.02s", "slow. 0 after 3.02s"}, got)
	})
}

// A name server whose host has run out of file descriptors cannot accept connections, and accepts again once
// descriptors are free.
func TestANameServerWithoutDescriptors(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{Records: map[string][]string{"a": {"A 10.0.0.9"}}})
		x.server.Truncate("")
		x.ns.SetLimits(sim.HostLimits{Descriptors: 3}) // two sockets of the server, and one connection
		idle, err := x.phone.Dial("tcp", x.ns.Addr().String()+":53")
		require.NoError(t, err)
		n.After(3500*time.Millisecond, func() { idle.Close() })
		_, err = x.phone.Resolver().LookupHost(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 5040*time.Millisecond, n.Elapsed().Truncate(10*time.Millisecond), "it tries again each second, and takes one of the two questions each time")
	})
}

func TestMisuseOfNameServers(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, ns := n.Host("a"), n.Host("ns")
		server := ns.ServeNames(sim.NameServerConfig{})
		for want, f := range map[string]func(){
			`sim: host a: ServeNames: NameServerConfig.TTL = 1.5s: must be whole seconds from 0 to 2147483647 s`:            func() { a.ServeNames(sim.NameServerConfig{TTL: 1500 * time.Millisecond}) },
			`sim: host a: ServeNames: NameServerConfig.MaxUDP = 511: must be from 512 to 65507 bytes`:                       func() { a.ServeNames(sim.NameServerConfig{MaxUDP: 511}) },
			`sim: host ns: ServeNames: listen udp :53: bind: address already in use`:                                        func() { ns.ServeNames(sim.NameServerConfig{}) },
			`sim: NameServer.Records("a..b"): a name must not have an empty part`:                                           func() { a.ServeNames(sim.NameServerConfig{Records: map[string][]string{"a..b": nil}}) },
			`sim: NameServer.Set(""): the name must not be empty`:                                                           func() { server.Set("") },
			`sim: NameServer: the record "A 10.0.0" of "x": the data of A must be an IPv4 address`:                          func() { server.Set("x", "A 10.0.0") },
			`sim: NameServer: the record "B y" of "x": the type is "B": want A, AAAA, CNAME, MX, NS, PTR, SRV or TXT`:       func() { server.Set("x", "B y") },
			`sim: NameServer: the records of "x": a name with a CNAME has no other records (RFC 2181 section 10.1)`:         func() { server.Set("x", "CNAME y", "A 10.0.0.1") },
			`sim: NameServer.Fail("x", NameCode(9)): the code must be one of the constants, NameFormatError to NameRefused`: func() { server.Fail("x", 9) },
			`sim: NameServer.Delay("x", 0s): the delay must be positive`:                                                    func() { server.Delay("x", 0) },
			`sim: host a: SetResolver: ResolverConfig.Servers: there are 0, and must be 1 or 2`:                             func() { a.SetResolver(sim.ResolverConfig{}) },
			`sim: host a: SetResolver: ResolverConfig.Servers[0]: must be a host of the network`:                            func() { a.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{nil}}) },
			`sim: host a: SetResolver: ResolverConfig.Search[0] = "": must be the name of a domain`: func() {
				a.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{ns}, Search: []string{""}})
			},
			`sim: host a: SetResolver: ResolverConfig.Ndots = 16: must be from 0 to 15 (resolv.conf(5))`: func() {
				a.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{ns}, Ndots: 16})
			},
		} {
			require.PanicsWithValue(t, want, f)
		}
	})
}
