//go:build unix

package speed

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v4/vnet"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

const transit = 50 * time.Millisecond

// The rows of the README's table of speed. A row is work of some units on the simulated network, and the same on
// what one would use without it.
var speedRows = []speedRow{
	{name: "a byte there and back, 50 ms each way, TCP", reference: "`net.Pipe` with `time.Sleep`",
		squall: roundTrips(sim.DefaultLink(netem.Config{Delay: transit})), other: roundTripsOverPipe},
	{name: "the same with `sim.ManyTimers`", reference: "`net.Pipe` with `time.Sleep`",
		squall: roundTrips(sim.DefaultLink(netem.Config{Delay: transit}), sim.ManyTimers()), other: roundTripsOverPipe},
	{name: "a datagram there and back, 50 ms each way", reference: "pion's `vnet`", squall: datagrams, other: datagramsOverVnet},
	{name: "bulk, perfect link", reference: "TCP over loopback", squall: bulk(netem.Config{}), other: bulkOverLoopback, units: 300},
	{name: "bulk, 50 ms", reference: "TCP over loopback", squall: bulk(netem.Config{Delay: transit}), other: bulkOverLoopback, units: 1000, pairs: 9},
	{name: "bulk, 1 Gbit/s and 5 ms", reference: "TCP over loopback",
		squall: bulk(fastLink), other: bulkOverLoopback, units: 200, pairs: 9},
	{name: "the same with `Host.Coalesce`, of 125 µs", reference: "TCP over loopback",
		squall: bulk(fastLink, 125*time.Microsecond), other: bulkOverLoopback, units: 200, pairs: 9},
	{name: "bulk, 50 ms and 2 % loss", reference: "TCP over loopback",
		squall: bulk(netem.Config{Delay: transit, Loss: netem.Bernoulli(0.02)}), other: bulkOverLoopback, units: 200, pairs: 9},
	{name: "bulk through ten links", reference: "packets handed on by ten goroutines", squall: bulkThroughLinks, other: packetsThroughChannels},
	{name: "an HTTP/1.1 request", reference: "`net.Pipe`", squall: requests, other: requestsOverPipe},
	// Its watchdog looks by real time, of which there is more on a busy machine: the baseline is written on one that is (25 on an idle one).
	{name: "an empty `sim.Test`", reference: "an empty `synctest.Test`", squall: emptyTests, other: emptyBubbles},
	{name: "a test with ten HTTP requests", reference: "`synctest.Test` and `net.Pipe`", squall: testsOfTenRequests, other: bubblesOfTenRequests},
	{name: "to dial, among 5,000 connections", reference: "among 100", squall: dials(many), other: dials(100), units: 1000, pairs: 7},
	{name: "a round trip on the least used of 5,000 connections", reference: "of 100", squall: coldRoundTrips(many), other: coldRoundTrips(100), units: many, pairs: 7},
	{name: "memory of a connection", reference: "of a `net.Pipe`", squall: idlePairs, other: idlePipes, units: 1000, pairs: 3},
}

// On the simulated network.

func roundTrips(opts ...sim.Option) job {
	return func(t *testing.T, m *meter, units int) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			l, err := n.Host("server").Listen("tcp", ":7")
			require.NoError(t, err)
			go serveEach(l, echoBytes)
			c, err := n.Host("client").Dial("tcp", "server:7")
			require.NoError(t, err)
			m.begin()
			sendBytes(t, c, units)
			m.end()
			c.Close()
			l.Close()
		}, opts...)
	}
}

func datagrams(t *testing.T, m *meter, units int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s, err := n.Host("server").ListenPacket("udp", ":7")
		require.NoError(t, err)
		go echoDatagrams(s)
		c, err := n.Host("client").Dial("udp", "server:7")
		require.NoError(t, err)
		m.begin()
		sendBytes(t, c, units)
		m.end()
		c.Close()
		s.Close()
	}, sim.DefaultLink(netem.Config{Delay: transit}))
}

var fastLink = netem.Config{Delay: 5 * time.Millisecond, Rate: netem.Gbit, Queue: netem.DropTail{Packets: 1000}}

// bulk sends bulk over a link, to a host and from one that coalesce if asked to.
func bulk(cfg netem.Config, coalesced ...time.Duration) job {
	return func(t *testing.T, m *meter, units int) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			for _, delay := range coalesced {
				n.Host("client").Coalesce(delay)
				n.Host("server").Coalesce(delay)
			}
			l, err := n.Host("server").Listen("tcp", ":7")
			require.NoError(t, err)
			sendBulk(t, m, units, l, func() (net.Conn, error) { return n.Host("client").Dial("tcp", "server:7") })
		}, sim.DefaultLink(cfg))
	}
}

func bulkThroughLinks(t *testing.T, m *meter, units int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var last sim.Node = n.Host("client")
		for i := range hops - 1 {
			r := n.Router(fmt.Sprintf("r%d", i))
			n.Link(last, r, netem.Config{Delay: time.Millisecond})
			last = r
		}
		n.Link(last, n.Host("server"), netem.Config{Delay: time.Millisecond})
		l, err := n.Host("server").Listen("tcp", ":7")
		require.NoError(t, err)
		sendBulk(t, m, units, l, func() (net.Conn, error) { return n.Host("client").Dial("tcp", "server:7") })
	})
}

func requests(t *testing.T, m *meter, units int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").ServeHTTP(":80", hello)
		c := n.Host("client").HTTPClient()
		get(t, c)
		m.begin()
		for range units {
			get(t, c)
		}
		m.end()
	})
}

func emptyTests(t *testing.T, m *meter, units int) {
	m.begin()
	for range units {
		sim.Test(t, func(*testing.T, *sim.Network) {})
	}
	m.end()
}

func testsOfTenRequests(t *testing.T, m *meter, units int) {
	m.begin()
	for range units {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			n.Host("server").ServeHTTP(":80", hello)
			c := n.Host("client").HTTPClient()
			for range 10 {
				get(t, c)
			}
		})
	}
	m.end()
}

// dials makes connections beside many that there are.
func dials(conns int) job {
	return func(t *testing.T, m *meter, units int) {
		among(t, conns, func(t *testing.T, dial func() net.Conn, _ []net.Conn) {
			all := make([]net.Conn, 0, units)
			m.begin()
			for range units {
				all = append(all, dial())
			}
			m.end()
			for _, c := range all {
				c.Close()
			}
		})
	}
}

// coldRoundTrips uses each of many connections in turn.
func coldRoundTrips(conns int) job {
	return func(t *testing.T, m *meter, units int) {
		among(t, conns, func(t *testing.T, _ func() net.Conn, all []net.Conn) {
			m.begin()
			for i := range units {
				sendBytes(t, all[i%conns], 1)
			}
			m.end()
		})
	}
}

// among calls f beside many connections, each of which is echoed. The delay is so short that all of them are made
// before the first one's keep-alive.
func among(t *testing.T, conns int, f func(t *testing.T, dial func() net.Conn, all []net.Conn)) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		l, err := n.Host("server").Listen("tcp", ":7")
		require.NoError(t, err)
		go serveEach(l, echoBytes)
		dial := func() net.Conn {
			c, err := n.Host("client").Dial("tcp", "server:7")
			require.NoError(t, err)
			return c
		}
		all := make([]net.Conn, conns)
		for i := range all {
			all[i] = dial()
		}
		f(t, dial, all)
		for _, c := range all {
			c.Close()
		}
		l.Close()
	}, sim.DefaultLink(netem.Config{Delay: 100 * time.Microsecond}), sim.ManyTimers())
}

func idlePairs(t *testing.T, m *meter, units int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		l, err := n.Host("server").Listen("tcp", ":7")
		require.NoError(t, err)
		all := make([]net.Conn, 0, 2*units)
		m.grow()
		for range units {
			c, err := n.Host("client").Dial("tcp", "server:7")
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			all = append(all, c, s)
		}
		m.grown()
		for _, c := range all {
			c.Close()
		}
	})
}

// The references.

func roundTripsOverPipe(t *testing.T, m *meter, units int) {
	synctest.Test(t, func(t *testing.T) {
		c, s := net.Pipe()
		go echoBytes(late{s})
		m.begin()
		sendBytes(t, late{c}, units)
		m.end()
		c.Close()
	})
}

// late lets the time of a transit pass before each write.
type late struct{ net.Conn }

func (l late) Write(p []byte) (int, error) {
	time.Sleep(transit)
	return l.Conn.Write(p)
}

func datagramsOverVnet(t *testing.T, m *meter, units int) {
	synctest.Test(t, func(t *testing.T) {
		router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", MinDelay: transit, LoggerFactory: logging.NewDefaultLoggerFactory()})
		require.NoError(t, err)
		var hosts [2]*vnet.Net
		for i := range hosts {
			hosts[i], err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.0.%d", i+1)}})
			require.NoError(t, err)
			require.NoError(t, router.AddNet(hosts[i]))
		}
		require.NoError(t, router.Start())
		s, err := hosts[1].ListenPacket("udp", "10.0.0.2:7")
		require.NoError(t, err)
		go echoDatagrams(s)
		c, err := hosts[0].Dial("udp", "10.0.0.2:7")
		require.NoError(t, err)
		m.begin()
		sendBytes(t, c, units)
		m.end()
		c.Close()
		s.Close()
		require.NoError(t, router.Stop())
	})
}

func bulkOverLoopback(t *testing.T, m *meter, units int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	sendBulk(t, m, units, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
}

// packetsThroughChannels hands on what bulkThroughLinks sends, as full segments.
func packetsThroughChannels(t *testing.T, m *meter, units int) {
	const segment = 1460
	type packet struct {
		from, to netip.AddrPort
		payload  []byte
	}
	first := make(chan *packet, 100)
	last := first
	for range hops {
		in, out := last, make(chan *packet, 100)
		go func() {
			for p := range in {
				out <- p
			}
			close(out)
		}()
		last = out
	}
	block := make([]byte, chunk)
	m.begin()
	go func() {
		for range units {
			for rest := block; len(rest) > 0; rest = rest[min(segment, len(rest)):] {
				p := &packet{payload: make([]byte, min(segment, len(rest)))}
				copy(p.payload, rest)
				first <- p
			}
		}
		close(first)
	}()
	into := make([]byte, chunk)
	for p := range last {
		copy(into, p.payload)
	}
	m.end()
}

func requestsOverPipe(t *testing.T, m *meter, units int) {
	synctest.Test(t, func(t *testing.T) {
		c, end := pipeHTTP()
		defer end()
		get(t, c)
		m.begin()
		for range units {
			get(t, c)
		}
		m.end()
	})
}

func emptyBubbles(t *testing.T, m *meter, units int) {
	m.begin()
	for range units {
		synctest.Test(t, func(*testing.T) {})
	}
	m.end()
}

func bubblesOfTenRequests(t *testing.T, m *meter, units int) {
	m.begin()
	for range units {
		synctest.Test(t, func(t *testing.T) {
			c, end := pipeHTTP()
			defer end()
			for range 10 {
				get(t, c)
			}
		})
	}
	m.end()
}

func idlePipes(_ *testing.T, m *meter, units int) {
	all := make([]net.Conn, 0, 2*units)
	m.grow()
	for range units {
		c, s := net.Pipe()
		all = append(all, c, s)
	}
	m.grown()
	runtime.KeepAlive(all)
}

// What both use.

const (
	chunk = 64 << 10 // a unit of bulk
	hops  = 10
	many  = 5_000 // connections; BenchmarkConnections in sim goes to 100,000
)

func serveEach(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

func echoBytes(c net.Conn) {
	defer c.Close()
	p := make([]byte, 1)
	for {
		if _, err := c.Read(p); err != nil {
			return
		}
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

func echoDatagrams(c net.PacketConn) {
	p := make([]byte, 1500)
	for {
		k, from, err := c.ReadFrom(p)
		if err != nil {
			return
		}
		c.WriteTo(p[:k], from)
	}
}

// sendBytes sends a byte and waits for its echo, again and again.
func sendBytes(t *testing.T, c net.Conn, count int) {
	p := make([]byte, 1)
	for range count {
		_, err := c.Write(p)
		if err == nil {
			_, err = c.Read(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sendBulk sends so many chunks to a reader, over a connection that is there already.
func sendBulk(t *testing.T, m *meter, chunks int, l net.Listener, dial func() (net.Conn, error)) {
	read := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(read)
			return
		}
		defer c.Close()
		total, p := int64(0), make([]byte, chunk)
		for err == nil {
			var k int
			k, err = c.Read(p)
			total += int64(k)
		}
		read <- total
	}()
	c, err := dial()
	require.NoError(t, err)
	p := make([]byte, chunk)
	m.begin()
	for range chunks {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	require.NoError(t, c.Close())
	require.EqualValues(t, chunks*chunk, <-read)
	m.end()
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })

func get(t *testing.T, c *http.Client) {
	resp, err := c.Get("http://server/")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// pipeHTTP is a client of net/http whose connections are net.Pipe's, with a server behind them.
func pipeHTTP() (c *http.Client, end func()) {
	l := pipeListener{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: hello}
	go srv.Serve(l)
	tr := &http.Transport{Dial: func(string, string) (net.Conn, error) {
		c, s := net.Pipe()
		l.conns <- s
		return c, nil
	}}
	return &http.Client{Transport: tr}, func() {
		tr.CloseIdleConnections()
		srv.Close()
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
