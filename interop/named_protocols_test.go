package interop

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/rpc"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/squall-sim/squall/sim"
)

var protocols = []protocol{
	{name: "net-rpc", serve: serveRPC, dial: dialRPC, big: 100_000, want: sights{
		first: "160ms", next: "80ms",
		outage:    "35.92s",
		deadline:  "5s: context deadline exceeded",
		after:     "80ms",
		restart:   "540ms: read tcp: read: connection reset by peer, executed 1",
		restarted: "0s: connection is shut down, always",
		idle:      "0s: connection is shut down, always",
		slow:      "1.748848s", beside: "910.519ms",
	}},
	{name: "SSH", serve: serveSSH, dial: dialSSH, big: 100_000, want: sights{
		first: "560ms", next: "160ms",
		outage:    "35.962s",
		deadline:  "5s: context deadline exceeded",
		after:     "160ms",
		restart:   "540ms: wait: remote command exited without exit status or exit signal, executed 1",
		restarted: "0s: read tcp: read: connection reset by peer, always | 0s: write tcp: write: broken pipe, always", // whether it read or wrote first
		idle:      "0s: read tcp: read: connection reset by peer, always",
		// At one instant the two sessions' messages, a dozen of 36 bytes and more, go into segments of their own or into one, each with 52 bytes of headers: up to 10 ms on the link.
		slow: "1.84s..1.86s", beside: "990ms..1.01s",
	}},
	{name: "HTTP-2", serve: serveText, dial: dialText, big: 100_000, want: sights{
		first: "160ms", next: "80ms",
		outage:    "35.802s",
		deadline:  "5s: Post \"http://server/\": context deadline exceeded",
		after:     "80ms",
		restart:   "540ms: Post \"http://server/\": read tcp: read: connection reset by peer, executed 1",
		restarted: "160ms",
		idle:      "160ms",
		// The link carries 100,000 bytes in 70 segments with 52 bytes of headers in 829.12 ms, and the call takes that twice, 80 ms for the way and 10 ms for the work: 1.748 s. When it has read the request,
		// the server sends window updates, 13 bytes each, in segments of their own or together, before the short answer or behind it: up to 0.52 ms each. They count among the ten segments that it may send
		// before the first acknowledgement, which comes a round trip later, so that the link may be idle for part of that.
		slow: "1.748s..1.83s", beside: "910ms..916ms",
	}},
	{name: "HTTP-3", serve: serveText3, dial: dialText3, big: 100_000, want: sights{
		first: "160ms", next: "80ms",
		outage:   "30s: Post \"https://server/\": http3: parsing frame failed: timeout: no recent network activity",
		deadline: "5s: Post \"https://server/\": context deadline exceeded",
		after:    "160ms",
		// 40 s after the last packet from the server, whose acknowledgement comes at once or 25 ms later (RFC 9000, section 13.2.1).
		restart:   "40.08s..40.105s: Post \"https://server/\": http3: parsing frame failed: timeout: no recent network activity, executed 1",
		restarted: "160ms",
		idle:      "30s: Post \"https://server/\": http3: parsing frame failed: timeout: no recent network activity; 160ms",
		// Acknowledgements and window updates, of some 60 bytes or half a millisecond on the link, are sent alone or with others; the short call waits for a packet of the large one, 12 ms, more or less.
		slow: "1.75s..1.79s", beside: "192ms..216ms",
	}},
	{name: "Connect", serve: serveConnect, dial: dialConnect, big: 100_000, want: sights{
		first: "160ms", next: "80ms",
		outage:    "35.802s",
		deadline:  "5s: deadline_exceeded: context deadline exceeded",
		after:     "160ms",
		restart:   "540ms: canceled: Post \"http://server/echo.Echo/Text\": read tcp: read: connection reset by peer, executed 1",
		restarted: "160ms",
		idle:      "160ms",
		slow:      "928ms..929ms", beside: "436ms..437ms", // what is compressed has other sizes in Go 1.26 and 1.27, whose names are in a header
	}},
	{name: "pgx", serve: servePostgres, dial: dialPgx, big: 100_000, want: sights{
		first: "320ms", next: "80ms",
		outage:    "36s",
		deadline:  "5s: timeout: context deadline exceeded",
		after:     "320ms",
		restart:   "540ms: read tcp: read: connection reset by peer, executed 1",
		restarted: "320ms",
		idle:      "320ms",
		slow:      "1.840104s", beside: "963.991ms",
	}},
	{name: "pgx through database-sql", serve: servePostgres, dial: dialSQLPgx, big: 100_000, want: sights{
		first: "320ms", next: "160ms",
		outage:    "36s",
		deadline:  "5s: timeout: context deadline exceeded",
		after:     "320ms",
		restart:   "540ms: read tcp: read: connection reset by peer, executed 1",
		restarted: "320ms",
		idle:      "320ms",
		slow:      "1.840104s", beside: "963.991ms",
	}},
	{name: "MySQL through database-sql", serve: serveMySQL, dial: dialMySQL, big: 100_000, want: sights{
		first: "320ms", next: "80ms",
		outage:    "35.92s",
		deadline:  "5s: context deadline exceeded",
		after:     "320ms",
		restart:   "540ms: invalid connection, executed 1",
		restarted: "320ms",
		idle:      "320ms",
		// The short call takes a new connection, on which the client tells its operating system and the number of its process: 8 µs for each letter and digit.
		slow: "1.7529s..1.753s", beside: "1.0433s..1.0435s",
	}},
	{name: "AMQP 0-9-1", serve: serveAMQP, dial: dialAMQP, big: 100_000, want: sights{
		first: "560ms", next: "80ms",
		outage:    "15s: not confirmed",
		deadline:  "5s: context deadline exceeded",
		after:     "0s: Exception (504) Reason: \"channel/connection is not open\", always",
		restart:   "540ms: not confirmed, executed 1",
		restarted: "0s: Exception (504) Reason: \"channel/connection is not open\", always",
		idle:      "0s: Exception (504) Reason: \"channel/connection is not open\", always",
		slow:      "920.528ms", beside: "921.111ms",
	}},
	{name: "DNS over UDP", serve: serveTXT, dial: dialTXT, big: 200, want: sights{
		first: "80ms", next: "80ms",
		outage:    "2s: read udp: i/o timeout",
		deadline:  "2s: read udp: i/o timeout",
		after:     "80ms",
		restart:   "2s: read udp: i/o timeout, executed 1",
		restarted: "80ms",
		idle:      "80ms",
		slow:      "82.952ms", beside: "83.575ms",
	}},
}

// Echo is a service of net/rpc.
type Echo struct{ work func(string) }

// Text answers with a text.
func (e Echo) Text(in string, out *string) error {
	e.work(in)
	*out = in
	return nil
}

func serveRPC(t *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	s := rpc.NewServer()
	require.NoError(t, s.RegisterName("Echo", Echo{work}))
	process(server, "rpc", ":1234", func(_ context.Context, l *sim.TCPListener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go s.ServeConn(c)
		}
	})
}

func dialRPC(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	var c *rpc.Client
	return func(ctx context.Context, text string) error {
		if c == nil {
			conn, err := phone.DialContext(ctx, "tcp", "server:1234")
			if err != nil {
				return err
			}
			c = rpc.NewClient(conn)
			t.Cleanup(func() { c.Close() })
		}
		return waits(ctx, func() error {
			var out string
			return c.Call("Echo.Text", text, &out)
		})
	}
}

// serveSSH has commands, which are texts, that it prints.
func serveSSH(t *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	conf := &ssh.ServerConfig{NoClientAuth: true}
	conf.AddHostKey(signer)
	session := func(ch ssh.Channel, requests <-chan *ssh.Request) {
		for r := range requests {
			var command struct{ Text string }
			if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
				r.Reply(false, nil)
				continue
			}
			r.Reply(true, nil)
			work(command.Text)
			io.WriteString(ch, command.Text)
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
			ch.Close()
		}
	}
	process(server, "ssh", ":22", func(_ context.Context, l *sim.TCPListener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				_, channels, requests, err := ssh.NewServerConn(c, conf)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for offer := range channels {
					if ch, requests, err := offer.Accept(); err == nil {
						go session(ch, requests)
					}
				}
			}()
		}
	})
}

func dialSSH(t *testing.T, _ *sim.Network, phone *sim.Host) caller {
	var c *ssh.Client
	return func(ctx context.Context, text string) error {
		if c == nil {
			conn, err := phone.DialContext(ctx, "tcp", "server:22")
			if err != nil {
				return err
			}
			sc, channels, requests, err := ssh.NewClientConn(conn, "server:22", &ssh.ClientConfig{User: "x", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
			if err != nil {
				return err
			}
			c = ssh.NewClient(sc, channels, requests)
			t.Cleanup(func() { c.Close() })
		}
		return waits(ctx, func() error {
			s, err := c.NewSession()
			if err != nil {
				return err
			}
			defer s.Close()
			out, err := s.Output(text)
			return same(string(out), text, err)
		})
	}
}

// same is err, or that the answer is another.
func same(got, want string, err error) error {
	if err == nil && got != want {
		return fmt.Errorf("got %d bytes of %d", len(got), len(want))
	}
	return err
}

// textHandler answers with the body.
func textHandler(work func(string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		work(string(body))
		w.Write(body)
	})
}

// textClient calls it by POST, which net/http does not send again.
func textClient(c *http.Client, url string) caller {
	return func(ctx context.Context, text string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(text))
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return same(string(body), text, err)
	}
}

func h2Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func serveText(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	process(server, "http", ":80", func(ctx context.Context, l *sim.TCPListener) error {
		s := &http.Server{Handler: textHandler(work), Protocols: h2Protocols()}
		defer context.AfterFunc(ctx, func() { s.Close() })()
		return s.Serve(l)
	})
}

func dialText(_ *testing.T, _ *sim.Network, phone *sim.Host) caller {
	c := phone.HTTPClient()
	c.Transport.(*http.Transport).Protocols = h2Protocols()
	return textClient(c, "http://server/")
}

func serveText3(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	serveHTTP3(server, &tls.Config{Certificates: []tls.Certificate{server.Certificate()}}, textHandler(work))
}

func dialText3(t *testing.T, n *sim.Network, phone *sim.Host) caller {
	return textClient(http3Client(t, phone, n.Host("server"), &tls.Config{RootCAs: n.Roots(), ServerName: "server"}), "https://server/")
}

func serveConnect(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	mux := http.NewServeMux()
	mux.Handle("/echo.Echo/Text", connect.NewUnaryHandler("/echo.Echo/Text",
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
			work(r.Msg.Value)
			return connect.NewResponse(wrapperspb.String(r.Msg.Value)), nil
		}))
	process(server, "connect", ":80", func(ctx context.Context, l *sim.TCPListener) error {
		s := &http.Server{Handler: mux}
		defer context.AfterFunc(ctx, func() { s.Close() })()
		return s.Serve(l)
	})
}

func dialConnect(_ *testing.T, _ *sim.Network, phone *sim.Host) caller {
	c := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](phone.HTTPClient(), "http://server/echo.Echo/Text")
	return func(ctx context.Context, text string) error {
		resp, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String(text)))
		if err != nil {
			return err
		}
		return same(resp.Msg.Value, text, nil)
	}
}

func serveTXT(_ *testing.T, _ *sim.Network, server *sim.Host, work func(string)) {
	server.Run("dns", func(ctx context.Context, h *sim.Host) error {
		pc, err := h.ListenPacket("udp", ":53")
		if err != nil {
			return err
		}
		s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			text, _, _ := strings.Cut(q.Question[0].Name, ".")
			work(text)
			m := new(dns.Msg).SetReply(q)
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}})
			w.WriteMsg(m)
		})}
		defer context.AfterFunc(ctx, func() { pc.Close() })()
		s.ActivateAndServe()
		<-ctx.Done()
		return nil
	})
}

func dialTXT(_ *testing.T, _ *sim.Network, phone *sim.Host) caller {
	return func(ctx context.Context, text string) error {
		conn, err := phone.DialContext(ctx, "udp", "server:53")
		if err != nil {
			return err
		}
		defer conn.Close()
		label := text[:min(len(text), 60)]
		in, _, err := new(dns.Client).ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(label+".example.", dns.TypeTXT), &dns.Conn{Conn: conn})
		if err != nil {
			return err
		}
		return same(in.Answer[0].(*dns.TXT).Txt[0], label, nil)
	}
}
