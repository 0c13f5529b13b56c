package sim_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// simParty is a simulated host as a party.
type simParty struct{ *sim.Host }

func (p simParty) Dial(d net.Dialer, network, address string) (net.Conn, error) {
	dialer := p.Dialer()
	dialer.Timeout, dialer.LocalAddr, dialer.FallbackDelay = d.Timeout, d.LocalAddr, d.FallbackDelay
	return dialer.Dial(network, address)
}

func (p simParty) AddAddr(a netip.Addr)    { p.Host.AddAddr(a) }
func (p simParty) RemoveAddr(a netip.Addr) { p.Host.RemoveAddr(a) }

// Situations that differ from the kernel on purpose.
var dualDifferences = map[string]string{
	"send by udp to fe80::1":                   linkLocal,
	"send by udp6 to fe80::1":                  linkLocal,
	"send by udp to AddrPort fe80::1":          linkLocal,
	"send by udp6 to AddrPort fe80::1":         linkLocal,
	"send by udp6 to AddrPort ::ffff:10.0.0.2": "the error's address is a net.UDPAddr, which prints 10.0.0.2",
}

const linkLocal = "link-local addresses are not simulated: a program that uses one is told so"

// Situations whose outcome can be compared, but not the time that it took.
var dualUntimed = map[string]string{
	"added again, what was written": "the kernel sends what it could not send at first by its timer for probes, of 200 ms, and not by that for lost tails",
}

// In each situation with two address families that was observed on a real kernel, the simulated network gives package net the same
// results: the text and length of addresses, what each end sees, errors and times.
func TestDualStackIsThatOfTheKernel(t *testing.T) {
	data, err := os.ReadFile("testdata/ipv6.json")
	require.NoError(t, err)
	var file struct{ Situations map[string]string }
	require.NoError(t, json.Unmarshal(data, &file))
	got := map[string]string{}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, router := n.Host("client"), n.Host("server"), n.Router("router")
		filter := sim.NewFamilyFilter(router)
		n.Link(client, router, netem.Config{})
		n.Link(router, server, netem.Config{})
		s := &dualStage{client: simParty{client}, server: simParty{server}, cut: filter.Cut, got: got}
		s.dualSituations()
	}, sim.IPv6())
	for name, want := range file.Situations {
		t.Run(name, func(t *testing.T) {
			if why := dualDifferences[name]; why != "" {
				t.Skip(why)
			}
			require.Contains(t, got, name, "the situation was not made")
			wantWhat, wantAfter := split(t, want)
			what, after := split(t, got[name])
			require.Equal(t, wantWhat, what)
			if _, situation, _ := strings.Cut(name, ": "); dualUntimed[situation] == "" {
				require.InDelta(t, wantAfter, after, max(60e6, float64(wantAfter)/8), "nanoseconds")
			}
		})
	}
	require.Len(t, got, len(file.Situations))
}

// split splits an outcome into what happened and when.
func split(t *testing.T, outcome string) (what string, after time.Duration) {
	i := strings.LastIndex(outcome, " after ")
	if i < 0 {
		return outcome, 0
	}
	after, err := time.ParseDuration(outcome[i+len(" after "):])
	require.NoError(t, err)
	return outcome[:i], after
}
