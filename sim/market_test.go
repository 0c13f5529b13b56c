package sim_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A market is a setup with everything that a fault can affect: a client behind a NAT, a web server behind a load
// balancer, and a name server that knows the balancer's address. Each link takes 5 ms, except the one between the two
// boxes, which takes no time.
type market struct {
	n                        *sim.Network
	client, dns, web, spare  *sim.Host
	nat, lb                  *sim.Router
	names                    *sim.NameServer
	near, middle, far, toDNS *sim.Link
}

func newMarket(n *sim.Network) *market {
	s := &market{n: n, client: n.Host("client"), dns: n.Host("dns"), web: n.Host("web"), spare: n.Host("spare"), nat: n.Router("nat"), lb: n.Router("lb")}
	cfg := netem.Config{Delay: 5 * ms}
	s.near, s.toDNS = n.Link(s.client, s.nat, cfg), n.Link(s.dns, s.nat, cfg)
	s.middle = n.Link(s.nat, s.lb, netem.Config{})
	s.far = n.Link(s.lb, s.web, cfg)
	n.Link(s.lb, s.spare, cfg)
	s.nat.NAT(sim.NATConfig{}, s.client)
	s.lb.Balancer(sim.BalancerConfig{Port: 7}, s.web, s.spare)
	s.names = s.dns.ServeNames(sim.NameServerConfig{Records: map[string][]string{"shop.example": {"A " + s.lb.Addr().String()}}})
	s.client.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{s.dns}})
	for _, h := range []*sim.Host{s.web, s.spare} {
		h.Run("shop", func(ctx context.Context, h *sim.Host) error {
			l, err := h.Listen("tcp", ":7")
			if err != nil {
				return err
			}
			context.AfterFunc(ctx, func() { l.Close() })
			for {
				c, err := l.Accept()
				switch {
				case err == nil:
					go s.sell(h, c)
				case strings.Contains(err.Error(), "too many open files"):
					time.Sleep(100 * ms)
				default:
					return nil
				}
			}
		})
	}
	return s
}

// impair changes the client's link.
func (s *market) impair(cfg netem.Config) *sim.Fault { return sim.Impair(s.near, cfg) }

// sell answers each request of 100 bytes, after 10 ms of work, with 3000 bytes that contain the time. When the
// requests end, it sends a receipt and closes 50 ms later.
func (s *market) sell(h *sim.Host, c net.Conn) {
	defer c.Close()
	for p := make([]byte, 100); ; {
		if _, err := io.ReadFull(c, p); err != nil {
			if err == io.EOF {
				time.Sleep(50 * ms)
				c.Write([]byte(h.Name()))
			}
			return
		}
		if h.Work(10*ms) != nil {
			return
		}
		answer := make([]byte, 3000)
		binary.BigEndian.PutUint64(answer, uint64(h.Now().Sub(midnight)-s.n.Elapsed()))
		c.Write(answer)
	}
}

// buy describes how a visit went. Without a fault the name is resolved at 120 ms and the connection is established at
// 140 ms. Two requests are answered at 170 and 230 ms, which is 20 ms of travel and 10 ms of work after each was
// sent. The client closes its half at 300 ms. The receipt and the end arrive at 370 ms.
func (s *market) buy() (said string) {
	at := func(when time.Duration) { time.Sleep(when - s.n.Elapsed()) }
	defer func() { said = strings.TrimSuffix(said, ", ") }()
	add := func(what string) { said += fmt.Sprintf("%s %v, ", what, s.n.Elapsed().Round(time.Microsecond)) }
	at(100 * ms)
	dialer := s.client.Dialer()
	dialer.Timeout = 8 * time.Second
	c, err := dialer.Dial("tcp", "shop.example:7")
	if err != nil {
		add(inBrief(err))
		return said
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if add("dialled"); said == "dialled 140ms, " {
		said = ""
	}
	for _, when := range []time.Duration{150 * ms, 200 * ms} {
		if at(max(when, s.n.Elapsed())); when == 150*ms && s.n.Elapsed() > when {
			at(s.n.Elapsed())
		}
		answer := make([]byte, 3000)
		if _, err = c.Write(make([]byte, 100)); err == nil {
			_, err = io.ReadFull(c, answer)
		}
		if err != nil {
			add(inBrief(err))
			return said
		}
		if took := s.n.Elapsed() - when; took != 30*ms {
			add("answer")
		}
		if wrong := time.Duration(binary.BigEndian.Uint64(answer)); wrong != 0 {
			said += fmt.Sprintf("clock %+v, ", wrong)
		}
		if slices.Max(answer[8:]) > 0 {
			said += "altered, "
		}
	}
	at(max(300*ms, s.n.Elapsed()))
	c.(*sim.TCPConn).CloseWrite()
	receipt, err := io.ReadAll(c)
	if err != nil {
		add(inBrief(err))
		return said
	}
	if name := string(receipt); name == "" || name == "web" || name == "spare" {
		add(name)
	} else {
		add("altered")
	}
	return said
}

func inBrief(err error) string {
	text := err.Error()
	for _, known := range []string{"no such host", "server misbehaving", "connection reset", "connection refused", "no route to host", "i/o timeout", "broken pipe", "EOF", "address already in use", "cannot assign", "network is down", "closed network"} {
		if strings.Contains(text, known) {
			return known
		}
	}
	return text
}
