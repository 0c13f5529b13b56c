package pubsub_test

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// simNet is a simulated network of a broker and the hosts of clients, whose links take delay each
// way.
type simNet struct {
	*sim.Network
	t tb

	mu       sync.Mutex
	listener net.Listener
	links    map[string]*sim.Link  // of clients
	conns    map[string][]net.Conn // that a client has opened
}

func newSimNet(t tb, n *sim.Network) *simNet {
	return &simNet{Network: n, t: t, links: map[string]*sim.Link{}, conns: map[string][]net.Conn{}}
}

func (n *simNet) link(client string) *sim.Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.links[client] == nil {
		n.links[client] = n.Link(n.host(client), n.Host("broker"), netem.Config{Delay: delay})
	}
	return n.links[client]
}

func (n *simNet) host(client string) *sim.Host { return n.Host(strings.ReplaceAll(client, " ", "-")) }

// dialer returns the DialContext of a client's host.
func (n *simNet) dialer(client string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	n.link(client)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := n.host(client).DialContext(ctx, network, addr)
		if err == nil {
			quiet(c)
			n.mu.Lock()
			n.conns[client] = append(n.conns[client], c)
			n.mu.Unlock()
		}
		return c, err
	}
}

// quiet turns keep-alives off, which take most of the time of tests of months.
func quiet(c net.Conn) { c.(*sim.TCPConn).SetKeepAlive(false) }

// quietListener accepts connections without keep-alives.
type quietListener struct{ net.Listener }

func (l quietListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		quiet(c)
	}
	return c, err
}

// mutes has everything of a client vanish from now on, or ends that.
func (n *simNet) mutes(client string, on bool) {
	if on {
		n.link(client).Down()
	} else {
		n.link(client).Up()
	}
}

// cut resets the connections of a client.
func (n *simNet) cut(client string) {
	n.mu.Lock()
	conns := n.conns[client]
	delete(n.conns, client)
	n.mu.Unlock()
	for _, c := range conns {
		c.(*sim.TCPConn).SetLinger(0)
		c.Close()
	}
}

// listen replaces the listener before it.
func (n *simNet) listen() net.Listener {
	if n.listener != nil {
		n.listener.Close()
	}
	l, err := n.Host("broker").Listen("tcp", ":4222")
	require.NoError(n.t, err)
	n.listener = quietListener{l}
	return n.listener
}
