package interop

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The server of miekg/dns, asked by its own client and by Go's resolver.

const dnsName = "service.example." // with its dot, so that /etc/resolv.conf appends nothing

// serveDNS answers for dnsName, over UDP with as many addresses as fit, else over TCP.
func serveDNS(h *sim.Host, addresses int) {
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			for i := range addresses {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: dnsName, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
					A: net.IPv4(192, 0, 2, byte(i+1))})
			}
		}
		if w.RemoteAddr().Network() == "udp" {
			size := dns.MinMsgSize
			if o := q.IsEdns0(); o != nil {
				size = int(o.UDPSize())
			}
			m.Truncate(size)
		}
		w.WriteMsg(m)
	})
	h.Run("dns", func(ctx context.Context, h *sim.Host) error {
		pc, err := h.ListenPacket("udp", ":53")
		if err != nil {
			return err
		}
		l, err := h.Listen("tcp", ":53")
		if err != nil {
			return err
		}
		udp, tcp := &dns.Server{PacketConn: pc, Handler: answer}, &dns.Server{Listener: l, Handler: answer}
		go tcp.ActivateAndServe()
		defer context.AfterFunc(ctx, func() {
			udp.Shutdown()
			tcp.Shutdown()
		})()
		return udp.ActivateAndServe()
	})
}

func TestDNS(t *testing.T) {
	for _, row := range []struct {
		name, reason string
		addresses    int
		outage       time.Duration // from the question on
		takes        time.Duration
	}{
		{"an answer", "a round trip", 3, 0, 2 * transit},
		{"an answer that does not fit", "Go asks for up to 1232 bytes, is told that there is more, and asks again over TCP: three round trips", 100, 0, 6 * transit},
		{"a question that is lost", "Go's resolver repeats it after 5 s", 3, time.Second, 5*time.Second + 2*transit},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("ns"), n.Host("phone")
				link := n.Link(server, phone, netem.Config{Delay: transit})
				serveDNS(server, row.addresses)
				time.Sleep(time.Second)
				if row.outage > 0 {
					link.Down()
					n.After(row.outage, link.Up)
				}
				r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return phone.DialContext(ctx, network, "ns:53")
				}}
				start := n.Elapsed()
				got, err := r.LookupNetIP(t.Context(), "ip4", dnsName)
				require.NoError(t, err)
				require.Len(t, got, row.addresses)
				require.Contains(t, got, netip.MustParseAddr("192.0.2.1"))
				require.Equal(t, row.takes, (n.Elapsed() - start).Truncate(ms), row.reason)
			}, sim.MayDiffer("the resolver draws the numbers of its questions"))
		})
	}
}

// The client of miekg/dns asks once, and gives up after 2 s.
func TestDNSClientOfMiekg(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("ns"), n.Host("phone")
		link := n.Link(server, phone, netem.Config{Delay: transit})
		serveDNS(server, 1)
		time.Sleep(time.Second)
		conn, err := phone.Dial("udp", "ns:53")
		require.NoError(t, err)
		defer conn.Close()
		q := new(dns.Msg)
		q.SetQuestion(dnsName, dns.TypeA)
		var c dns.Client
		m, took, err := c.ExchangeWithConnContext(t.Context(), q, &dns.Conn{Conn: conn})
		require.NoError(t, err)
		require.Len(t, m.Answer, 1)
		require.Equal(t, 2*transit, took.Truncate(ms))

		link.Down()
		start := n.Elapsed()
		_, _, err = c.ExchangeWithConnContext(t.Context(), q, &dns.Conn{Conn: conn})
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, 2*time.Second, (n.Elapsed() - start).Truncate(ms))
	})
}
