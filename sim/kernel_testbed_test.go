package sim_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A testbed is a client and a server with one link between them, as on the machine
// where the kernel was measured.
type testbed struct {
	t              *testing.T
	n              *sim.Network
	link           *sim.Link
	client, server *sim.Host
	reads          time.Duration // what the client of a download takes from one Read to the next
}

// A testbedConfig describes a testbed.
type testbedConfig struct {
	tcp      sim.TCPConfig
	up, down netem.Config // from the client to the server and back
	seed     uint64
}

// both has the same in both directions.
func both(tcp sim.TCPConfig, cfg netem.Config) testbedConfig {
	return testbedConfig{tcp: tcp, up: cfg, down: cfg, seed: 1}
}

func onTestbed(t *testing.T, c testbedConfig, f func(b *testbed)) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		b := &testbed{t: t, n: n, client: n.Host("client"), server: n.Host("server")}
		b.link = n.LinkAsym(b.client, b.server, c.up, c.down)
		f(b)
		// Most short downloads lose nothing: that is no fault that never fired.
		b.link.Set(netem.Config{})
	}, sim.Seed(c.seed), sim.WithTCP(c.tcp))
}

// serve has the server handle one connection and then close it.
func (b *testbed) serve(handle func(c *sim.TCPConn)) {
	l := listen(b.t, b.server, ":9000")
	go func() {
		c, err := l.Accept()
		if err == nil {
			handle(c.(*sim.TCPConn))
			c.Close()
		}
		l.Close()
	}()
}

func (b *testbed) dial() *sim.TCPConn {
	b.t.Helper()
	return dial(b.t, b.client, "server:9000").(*sim.TCPConn)
}

// zeros is what servers send, and scratch what clients read into.
var zeros, scratch [10_000_000]byte

// download has the client connect and send a short request at once, which the server
// answers with size bytes. It returns how long that took, from before the connect to
// the last byte read, and how many segments the server sent again.
func (b *testbed) download(size int) (took time.Duration, resent int) {
	b.t.Helper()
	b.serve(func(c *sim.TCPConn) {
		if _, err := c.Read(make([]byte, 100)); !assertNoError(b.t, err) {
			return
		}
		_, err := c.Write(zeros[:size])
		assertNoError(b.t, err)
		io.Copy(io.Discard, c)
	})
	start := b.n.Elapsed()
	c := b.dial()
	_, err := c.Write(zeros[:7])
	require.NoError(b.t, err)
	for got := 0; got < size; {
		k, err := c.Read(scratch[:])
		require.NoError(b.t, err)
		if got += k; got < size {
			time.Sleep(b.reads)
		}
	}
	took = b.n.Elapsed() - start
	for _, h := range b.n.Stats().Hosts {
		if h.Name == b.server.Name() {
			resent = h.Retransmits
		}
	}
	c.Close()
	return took, resent
}

// answer has the server answer each request of so many bytes with one byte, after
// thinking as think says.
func (b *testbed) answer(size int, think func()) {
	b.serve(func(c *sim.TCPConn) {
		for {
			if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
				return
			}
			think()
			if _, err := c.Write(zeros[:1]); err != nil {
				return
			}
		}
	})
}

// exchange writes a request in pieces and waits for the answer. It returns how long
// that took.
func (b *testbed) exchange(c net.Conn, pieces ...int) time.Duration {
	b.t.Helper()
	start := b.n.Elapsed()
	for _, k := range pieces {
		_, err := c.Write(zeros[:k])
		require.NoError(b.t, err)
	}
	_, err := io.ReadFull(c, scratch[:1])
	require.NoError(b.t, err)
	return b.n.Elapsed() - start
}

// sent lists the packets that a host sent since a time and that match, those that
// were lost included.
func (b *testbed) sent(from *sim.Host, since time.Duration, match func(sim.Event) bool) (all []sim.Event) {
	for e := range b.n.Trace().Events() {
		if e.Kind == sim.Sent && e.From == from.Name() && e.At >= since && match(e) {
			all = append(all, e)
		}
	}
	return all
}

func anyPacket(sim.Event) bool { return true }

func carriesData(e sim.Event) bool { return e.Length > 0 }

func isSyn(e sim.Event) bool { return e.Flags == "S" || e.Flags == "SA" }

// after are the instants of events since a time, in milliseconds.
func after(since time.Duration, events []sim.Event) (all []float64) {
	for _, e := range events {
		all = append(all, toMS(e.At-since))
	}
	return all
}
