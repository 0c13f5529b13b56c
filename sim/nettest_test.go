package sim_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The conformance suite of golang.org/x/net on the wall clock: it calls t.Run, which
// a bubble does not allow.
func TestConnConformance(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]netem.Config{
		"perfect":      {},
		"delay":        {Delay: time.Millisecond},
		"delay jitter": {Delay: time.Millisecond, Jitter: time.Millisecond / 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				n := sim.New()
				a, b := n.Host("a"), n.Host("b")
				n.Link(a, b, cfg)
				l, err := b.Listen("tcp", ":0")
				if err != nil {
					return nil, nil, nil, err
				}
				accepted := make(chan net.Conn)
				go func() {
					c, _ := l.Accept()
					accepted <- c
				}()
				_, port, _ := net.SplitHostPort(l.Addr().String())
				c1, err = a.Dial("tcp", net.JoinHostPort("b", port))
				if err != nil {
					return nil, nil, nil, err
				}
				c2 = <-accepted
				return c1, c2, func() { c1.Close(); c2.Close(); n.Close() }, nil
			})
		})
	}
}
