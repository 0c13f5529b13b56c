package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// A program under test is on the simulated network by what a host gives it: a dialer, a listener, a client, a
// resolver. What it asks of package net itself is the operating system's. It may get an answer there, but a
// different one on every computer; and while it waits for one, the clock of its bubble stands still. Two
// things reveal it. One is the goroutines of a bubble that does not move. The other is the two variables of
// the standard library by which most programs reach the operating system's network without naming it,
// net.DefaultResolver and http.DefaultTransport. Outside a bubble of [Test] these work as usual.

// outsidePatience is how long, in real time, a bubble may stand still for the operating system's network
// before its test fails: a server there may take its time to answer. A variable for its test.
var outsidePatience = 10 * time.Second

// outsideText says which goroutines of a bubble that stands still wait for the operating system's network,
// and what to write instead.
func outsideText(waiting, all []stacks.Goroutine) string {
	var b strings.Builder
	b.WriteString("sim: virtual time stands still: the test waits for the operating system's own network instead of the simulated one:\n")
	b.WriteString(stacks.Describe(waiting))
	others := slices.DeleteFunc(slices.Clone(all), func(g stacks.Goroutine) bool {
		return slices.ContainsFunc(waiting, func(w stacks.Goroutine) bool { return w.ID == g.ID })
	})
	if list := stacks.Describe(others); list != "" {
		b.WriteString("Other goroutines of the test:\n" + list)
	}
	b.WriteString(instead(all))
	return strings.TrimSuffix(b.String(), "\n")
}

// instead says what to write instead of what goroutines do on the operating system's network, as far as the
// libraries in their stacks are known.
func instead(gs []stacks.Goroutine) string {
	var b strings.Builder
	if exact.Hosts {
		b.WriteString("In exact mode the goroutines of a host use the simulated network: start the code with Host.Go or Host.Run. Otherwise:\n")
	}
	b.WriteString("On the simulated network a host dials and listens. Use instead:\n")
	known := false
	for _, h := range hooks {
		// Libraries come before the standard library: what they call in it is not the program's call.
		library := strings.Contains(h.pkg, ".")
		if (library || !known) && mentions(gs, h.pkg) {
			fmt.Fprintf(&b, "  %s: %s\n", h.pkg, h.hook)
			known = true
		}
	}
	if !exact.Enabled {
		b.WriteString("Or leave the code as it is, start it with Host.Go or Host.Run, and run the test in exact mode with squall test; see docs/unchanged.md.\n")
	}
	b.WriteString(advice(gs))
	return b.String()
}

// advice says what is known about libraries in the stacks of goroutines that cannot run unchanged in a
// bubble.
func advice(gs []stacks.Goroutine) string {
	var b strings.Builder
	for _, l := range troubles {
		if mentions(gs, l.pkg) {
			fmt.Fprintf(&b, "%s: %s\n", l.pkg, l.why)
		}
	}
	return b.String()
}

// mentions reports whether a stack has a function whose name begins with a prefix, or one of a package below,
// or was started by one.
func mentions(gs []stacks.Goroutine, pkg string) bool {
	is := func(f stacks.Frame) bool {
		after, ok := strings.CutPrefix(strings.ReplaceAll(f.Function, "%2e", "."), pkg)
		return ok && (after == "" || strings.ContainsAny(after[:1], "./"))
	}
	return slices.ContainsFunc(gs, func(g stacks.Goroutine) bool {
		calls, creator := g.Frames()
		return is(creator) || slices.ContainsFunc(calls, is)
	})
}

// bubbles are the networks of running tests, by the numbers of their bubbles.
var bubbles sync.Map

// networkOfBubble is the network of the test that the calling goroutine belongs to, or nil.
func networkOfBubble() *Network {
	if bubble := stacks.ThisBubble(); bubble != "" {
		if n, ok := bubbles.Load(bubble); ok {
			return n.(*Network)
		}
	}
	return nil
}

// A program may set these variables anew; then it is left alone.
func init() {
	if net.DefaultResolver != nil && net.DefaultResolver.Dial == nil {
		net.DefaultResolver.Dial = dialNameServer
	}
	if t, ok := http.DefaultTransport.(*http.Transport); ok && t.DialContext != nil {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if exact.Host() != nil {
				return dial(ctx, network, address)
			}
			if n := networkOfBubble(); n != nil {
				host, _, _ := net.SplitHostPort(address)
				if err := n.stray("http.DefaultTransport", host); err != nil {
					return nil, opError("dial", network, nil, nil, err)
				}
			}
			return dial(ctx, network, address)
		}
	}
}

// beforeBubbles makes package net create, outside all bubbles, the channel by which it limits its calls of
// the system's library. A channel made by a lookup inside a bubble would end the process at the first lookup
// inside another.
var beforeBubbles = sync.OnceFunc(func() { net.LookupPort("tcp", "domain") })

// dialNameServer connects to a name server of the operating system, as net.Resolver does
// without a Dial.
func dialNameServer(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if n := networkOfBubble(); n != nil && err == nil {
		if u, ok := c.(*net.UDPConn); ok {
			return &nameServerConn{u, n}, nil
		}
	}
	return c, err
}

// A nameServerConn asks a name server of the operating system for a program that runs in a bubble.
type nameServerConn struct {
	*net.UDPConn
	n *Network
}

// Write sends a query, unless it is for a host of the simulated network.
func (c *nameServerConn) Write(query []byte) (int, error) {
	if len(query) >= dnsHeader {
		if name, end := questionOf(query); end > 0 {
			if err := c.n.stray("net.DefaultResolver", name); err != nil {
				return 0, err
			}
		}
	}
	return c.UDPConn.Write(query)
}

var errStray = errors.New("sim: this host is on the simulated network, but the operating system's own network was asked for it")

// stray records that the program looks for a host, by name or address, on the operating system's network. It
// is an error if that is a host of the simulated network: then the test fails as well, since a test that
// expects an error would pass for the wrong reason.
func (n *Network) stray(by, host string) error {
	var waiting []stacks.Goroutine
	self, _ := stacks.This()
	all := stacks.InBubble(n.harness.bubbleID)
	for id := self; id != ""; { // the caller may be a goroutine of net/http; the one that asked waits for it
		i := slices.IndexFunc(all, func(g stacks.Goroutine) bool { return g.ID == id })
		if i < 0 {
			break
		}
		waiting = append(waiting, all[i])
		id = all[i].StartedBy()
	}
	where := ""
	for _, g := range waiting {
		if call, at, ok := g.Enters(); ok {
			where = fmt.Sprintf(" by %s at %s", call, at.Where)
			break
		}
	}
	text := fmt.Sprintf("%s was asked for %q%s", by, host, where)
	ours := get(n, func() bool {
		if addr, err := netip.ParseAddr(host); err == nil {
			return n.names.byAddr[addr.Unmap()] != nil
		}
		return n.names.has(host)
	})
	if !ours {
		n.do(func() {
			if !slices.Contains(n.log.strays, text) {
				n.log.strays = append(n.log.strays, text)
			}
		})
		return nil
	}
	text += ", a host of the simulated network, but the call uses the operating system's own.\n" + strings.TrimSuffix(instead(waiting), "\n")
	n.do(func() {
		if !slices.Contains(n.log.failures, text) {
			n.log.failures = append(n.log.failures, text)
		}
	})
	return errStray
}
