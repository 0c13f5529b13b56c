package sim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// simCodes are the codes for which Link.RejectWith gives an ICMP message of a type and a code, that of IPv4 and that
// of IPv6.
var simCodes = map[[2]int]sim.ICMPCode{
	{3, 0}: sim.ICMPNetUnreachable, {3, 1}: sim.ICMPHostUnreachable, {3, 2}: sim.ICMPProtocolUnreachable, {3, 3}: sim.ICMPPortUnreachable,
	{3, 5}: sim.ICMPSourceRouteFailed, {3, 6}: sim.ICMPNetUnknown, {3, 7}: sim.ICMPHostUnknown, {3, 8}: sim.ICMPHostIsolated,
	{3, 9}: sim.ICMPNetProhibited, {3, 10}: sim.ICMPHostProhibited, {3, 11}: sim.ICMPNetUnreachableTOS, {3, 12}: sim.ICMPHostUnreachableTOS,
	{3, 13}: sim.ICMPAdminProhibited, {3, 14}: sim.ICMPPrecedenceViolation, {3, 15}: sim.ICMPPrecedenceCutoff,
	{11, 0}: sim.ICMPTimeExceeded, {12, 0}: sim.ICMPParameterProblem,
}

var simCodes6 = map[[2]int]sim.ICMPCode{
	{1, 0}: sim.ICMPNetUnreachable, {1, 1}: sim.ICMPAdminProhibited, {1, 3}: sim.ICMPHostUnreachable, {1, 4}: sim.ICMPPortUnreachable,
	{3, 0}: sim.ICMPTimeExceeded, {4, 0}: sim.ICMPParameterProblem, {4, 1}: sim.ICMPProtocolUnreachable,
}

func simCodesOf(family string) map[[2]int]sim.ICMPCode {
	if family == "IPv6" {
		return simCodes6
	}
	return simCodes
}

// onWay records the situations of a path on a simulated network.
func onWay(t *testing.T, play func(s *wayStage)) map[string]string {
	got := map[string]string{}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r1, r2 := n.Host("client"), n.Host("server"), n.Router("r1"), n.Router("r2")
		near := netem.Config{Delay: 5 * ms}
		n.Link(client, r1, near)
		middle := n.Link(r1, r2, netem.Config{Delay: 10 * ms})
		n.Link(r2, server, near)
		s := &wayStage{client: simParty{client}, server: simParty{server}, got: got}
		var refused *sim.ICMPCode
		var silent [2]bool
		apply := func() {
			middle.Up()
			switch {
			case silent[0]:
				middle.DownFrom(r1)
			case silent[1]:
				middle.DownFrom(r2)
			case refused != nil:
				middle.RejectWith(*refused)
			}
		}
		s.refuse = func(family string, typ, code int) bool {
			c, ok := simCodesOf(family)[[2]int{typ, code}]
			if refused = nil; ok {
				refused = &c
			}
			apply()
			return ok
		}
		s.silence = func(fromClient, fromServer bool) {
			silent = [2]bool{fromClient, fromServer}
			apply()
		}
		s.tune = func(t tuning) {
			client.SetTCP(sim.TCPConfig{
				UserTimeout: t.userTimeout, Retries2: t.retries2, ECN: t.ecn,
				KeepAlive: sim.TCPKeepAlive{Off: !t.keepAlive.Enable, Idle: t.keepAlive.Idle, Interval: t.keepAlive.Interval, Count: t.keepAlive.Count},
			})
		}
		mark := 0
		s.watch = func() (flags []string, sizes []int) {
			for _, e := range since(n, mark, func(e sim.Event) bool { return e.Kind == sim.Sent && e.Protocol == "tcp" }) {
				flags, sizes = append(flags, e.From+" "+e.Flags), append(sizes, e.Size)
			}
			mark = n.Trace().Len()
			return flags, sizes
		}
		s.narrow = func(mtu int, tells bool) {
			middle.Set(netem.Config{Delay: 10 * ms, MTU: mtu})
			if r1.AllowICMP(); !tells {
				r1.BlockICMP()
			}
		}
		s.mark = func(nth int) {
			there, back := netem.Config{Delay: 10 * ms}, netem.Config{Delay: 10 * ms}
			if nth > 0 {
				back.Loss, back.ECN = netem.DropList{nth + 1}, true // the SYN-ACK comes before
			}
			middle.SetAsym(there, back)
		}
		s.forget = func() {
			client.PowerOff()
			client.Restart()
		}
		s.discover = func(socket any, mode int) error { return socket.(*sim.UDPConn).SetMTUDiscover(simModes[mode]) }
		play(s)
	}, sim.IPv6())
	return got
}

// simModes are Linux's values of IP_MTU_DISCOVER.
var simModes = map[int]sim.MTUDiscover{0: sim.MTUDiscoverDont, 1: sim.MTUDiscoverWant, 2: sim.MTUDiscoverDo, 3: sim.MTUDiscoverProbe, 9: 9}

// kernelTable is a table of what a real kernel does in each situation.
func kernelTable(t *testing.T, file string) map[string]string {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var table struct{ Situations map[string]string }
	require.NoError(t, json.Unmarshal(data, &table))
	require.NotEmpty(t, table.Situations)
	return table.Situations
}

// compareWithKernel compares what happened with a table. differs says why a situation cannot be made, or is another on
// purpose; or "". Times may be off by an eighth, by which the kernel's timers may be late, and by 80 ms.
func compareWithKernel(t *testing.T, file string, got map[string]string, differs func(name string) string) {
	table := kernelTable(t, file)
	for name, want := range table {
		t.Run(name, func(t *testing.T) {
			if why := differs(name); why != "" {
				t.Skip(why)
			}
			require.Contains(t, got, name, "the situation was not made")
			wantWhat, wantAfter := split(t, want)
			what, after := split(t, got[name])
			require.Equal(t, wantWhat, what)
			require.InDelta(t, wantAfter, after, max(80e6, float64(wantAfter)/8), "nanoseconds")
		})
	}
	for name := range got {
		require.Contains(t, table, name, "not measured")
	}
}

// What programs see of each ICMP message is what they see on a real kernel: bytes, errors with their numbers, order and times.
func TestICMPIsThatOfTheKernel(t *testing.T) {
	compareWithKernel(t, "testdata/icmp.json", onWay(t, (*wayStage).icmpSituations), func(name string) string {
		var family string
		var k [2]int
		_, err := fmt.Sscanf(name, "%s %d/%d:", &family, &k[0], &k[1])
		require.NoError(t, err)
		if _, ok := simCodesOf(family)[k]; !ok {
			return "no node of a simulated network sends this message"
		}
		return ""
	})
}

// Datagrams too large for a link meet the same fate as on a real kernel, by IP_MTU_DISCOVER and IPV6_MTU_DISCOVER.
func TestUDPAndMTUAreThoseOfTheKernel(t *testing.T) {
	compareWithKernel(t, "testdata/udpmtu.json", onWay(t, (*wayStage).mtuSituations), func(string) string { return "" })
}

// Connections over a narrow hop behave as on a real kernel.
func TestPathMTUIsThatOfTheKernel(t *testing.T) {
	compareWithKernel(t, "testdata/pathmtu.json", onWay(t, (*wayStage).pathSituations), func(string) string { return "" })
}

// TCP_USER_TIMEOUT ends connections when the kernel ends them, in each phase.
func TestUserTimeoutIsThatOfTheKernel(t *testing.T) {
	compareWithKernel(t, "testdata/usertimeout.json", onWay(t, (*wayStage).phaseSituations), func(string) string { return "" })
}

// Both ends exchange the same ECN marks as on a real kernel.
func TestECNIsThatOfTheKernel(t *testing.T) {
	compareWithKernel(t, "testdata/ecn.json", onWay(t, (*wayStage).ecnSituations), func(string) string { return "" })
}
