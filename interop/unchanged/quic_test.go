package unchanged

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/squall-sim/squall/sim"
)

// plainConn hides that a socket could have control messages, which quic-go asks for otherwise.
type plainConn struct{ net.PacketConn }

func TestQUIC(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		serverTLS := &tls.Config{Certificates: []tls.Certificate{n.Host("server").Certificate()}, NextProtos: []string{"echo"}}
		clientTLS := &tls.Config{RootCAs: n.Roots(), ServerName: "server", NextProtos: []string{"echo"}}
		conf := &quic.Config{MaxIdleTimeout: 3 * time.Second, HandshakeIdleTimeout: time.Second}
		return ordinary(n, func(ctx context.Context) error {
			pc, err := net.ListenPacket("udp", ":443")
			if err != nil {
				return err
			}
			defer pc.Close()
			tr := &quic.Transport{Conn: plainConn{pc}}
			defer tr.Close()
			l, err := tr.Listen(serverTLS, conf)
			if err != nil {
				return err
			}
			for {
				c, err := l.Accept(ctx)
				if err != nil {
					return err
				}
				go echo(ctx, c)
			}
		}, func() (caller, error) {
			pc, err := net.ListenPacket("udp", ":0")
			if err != nil {
				return caller{}, err
			}
			tr := &quic.Transport{Conn: plainConn{pc}}
			call := func(ctx context.Context) error {
				to, err := net.ResolveUDPAddr("udp", "server:443")
				if err != nil {
					return err
				}
				c, err := tr.Dial(ctx, to, clientTLS, conf)
				if err != nil {
					return err
				}
				defer c.CloseWithError(0, "")
				s, err := c.OpenStreamSync(ctx)
				if err != nil {
					return err
				}
				at, _ := ctx.Deadline()
				s.SetDeadline(at)
				s.Write([]byte("x"))
				s.Close()
				_, err = io.ReadFull(s, make([]byte, 1))
				return err
			}
			return caller{call, func() { tr.Close(); pc.Close() }}, nil
		})
	})
}

func echo(ctx context.Context, c *quic.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			io.Copy(s, s)
			s.Close()
		}()
	}
}
