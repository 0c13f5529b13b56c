package sim_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// Whatever the processes of a paused host ask of the network happens when the host resumes, completely and not
// before. Host b is paused for a minute. The effect of each call is looked for on host a, shortly before the pause
// ends and shortly after.
func TestResumeDeliversWhatWasAskedFor(t *testing.T) {
	// heard reports whether there is something to read.
	heard := func(c net.Conn) bool {
		c.SetReadDeadline(in(time.Nanosecond))
		k, _ := c.Read(make([]byte, 100))
		return k > 0
	}
	type seen func() bool
	for _, row := range []struct {
		name string
		call func(r *rig, onB net.Conn) seen // onB is b's end of a connection to a
	}{
		{"a write", func(r *rig, onB net.Conn) seen {
			onB.Write([]byte("x"))
			return func() bool { return heard(r.conn) }
		}},
		{"a write of many segments", func(r *rig, onB net.Conn) seen {
			onB.Write(make([]byte, 10_000))
			return func() bool {
				r.conn.SetReadDeadline(in(time.Second))
				k, _ := io.ReadFull(r.conn, make([]byte, 10_000))
				return k == 10_000
			}
		}},
		{"a close", func(r *rig, onB net.Conn) seen {
			onB.Close()
			return func() bool { return ended(r.conn, io.EOF) }
		}},
		{"a close for writing", func(r *rig, onB net.Conn) seen {
			onB.(*sim.TCPConn).CloseWrite()
			return func() bool { return ended(r.conn, io.EOF) }
		}},
		{"a close with a reset", func(r *rig, onB net.Conn) seen {
			onB.(*sim.TCPConn).SetLinger(0)
			onB.Close()
			return func() bool { return ended(r.conn, syscall.ECONNRESET) }
		}},
		{"a datagram", func(r *rig, _ net.Conn) seen {
			r.atB.WriteTo([]byte("x"), udpAddr(r.a.Addr().String()+":9"))
			return func() bool { return datagramAt(r.answer) }
		}},
		{"a datagram of a connected socket", func(r *rig, _ net.Conn) seen {
			c, err := r.b.Dial("udp", "a:9")
			check(err)
			c.Write([]byte("x"))
			return func() bool { return datagramAt(r.answer) }
		}},
		{"a datagram behind a close", func(r *rig, _ net.Conn) seen {
			r.atB.WriteTo([]byte("x"), udpAddr(r.a.Addr().String()+":9"))
			r.atB.Close()
			return func() bool { return datagramAt(r.answer) }
		}},
		{"a dial", func(r *rig, _ net.Conn) seen {
			l := listen(r.t, r.a, ":70").(*sim.TCPListener)
			go r.b.Dial("tcp", "a:70")
			return func() bool { return accepts(l) }
		}},
		{"a dial with a deadline beyond the pause", func(r *rig, _ net.Conn) seen {
			l := listen(r.t, r.a, ":70").(*sim.TCPListener)
			ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
			r.t.Cleanup(cancel)
			go r.b.DialContext(ctx, "tcp", "a:70")
			return func() bool { return accepts(l) }
		}},
		{"listen", func(r *rig, _ net.Conn) seen {
			accept(listen(r.t, r.b, ":70"), echo)
			return func() bool { return connects(r.a, "b:70") }
		}},
		{"a close of a listener", func(r *rig, _ net.Conn) seen {
			r.listener.Close()
			return func() bool { return !connects(r.a, "b:7") }
		}},
		{"a close of a listener with a connection that nobody has accepted", func(r *rig, _ net.Conn) seen {
			r.listener.Close()
			c := dial(r.t, r.a, "b:7")
			return func() bool { return ended(c, syscall.ECONNRESET) }
		}},
		{"a socket for datagrams", func(r *rig, _ net.Conn) seen {
			_, err := r.b.ListenPacket("udp", ":70")
			check(err)
			return func() bool { return !refusesDatagrams(r.a, "b:70") }
		}},
		{"a close of a socket for datagrams", func(r *rig, _ net.Conn) seen {
			r.atB.Close()
			return func() bool { return refusesDatagrams(r.a, "b:9") }
		}},
		{"a look-up", func(r *rig, _ net.Conn) seen {
			found := make(chan []string, 1)
			go func() {
				names, _ := r.b.Resolver().LookupHost(context.Background(), "a")
				found <- names
			}()
			return func() bool { return len(found) > 0 && len(<-found) > 0 }
		}},
		{"keep-alive", func(r *rig, onB net.Conn) seen {
			onB.(*sim.TCPConn).SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second})
			before := r.n.Trace().Len()
			return func() bool {
				time.Sleep(5 * time.Second)
				probes := 0
				for e := range r.n.Trace().Events() {
					if e.Number >= before && e.From == "b" && e.SourcePort == 6 && e.Resent {
						probes++
					}
				}
				before = r.n.Trace().Len()
				return probes > 0
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			onRig(t, func(r *rig) {
				l := listen(r.t, r.b, ":6")
				r.conn = dial(r.t, r.a, "b:6")
				onB, err := l.Accept()
				require.NoError(r.t, err)
				r.conn.(*sim.TCPConn).SetKeepAlive(false)
				time.Sleep(time.Second)
				onB.(*sim.TCPConn).SetKeepAlive(false)
				time.Sleep(time.Second)
				r.b.Pause()
				happened := row.call(r, onB)
				time.Sleep(50 * time.Second)
				require.False(r.t, happened(), "b is paused")
				r.b.Resume()
				time.Sleep(time.Second)
				require.True(r.t, happened(), "b goes on")
			})
		})
	}
}

// If a paused host crashes, nothing that its processes asked for happens.
func TestCrashForgetsWhatAPausedHostAskedFor(t *testing.T) {
	onRig(t, func(r *rig) {
		l := listen(r.t, r.a, ":70").(*sim.TCPListener)
		r.b.Pause()
		r.atB.WriteTo([]byte("x"), udpAddr(r.a.Addr().String()+":9"))
		_, err := r.b.Listen("tcp", ":71")
		require.NoError(r.t, err)
		go r.b.Dial("tcp", "a:70")
		time.Sleep(time.Second)
		r.b.PowerOff()
		time.Sleep(time.Second)
		r.b.Restart()
		time.Sleep(time.Minute)
		require.False(r.t, datagramAt(r.answer))
		require.False(r.t, accepts(l))
		require.False(r.t, connects(r.a, "b:71"))
	})
}

func ended(c net.Conn, want error) bool {
	c.SetReadDeadline(in(time.Nanosecond))
	_, err := c.Read(make([]byte, 1))
	return err == want || want != io.EOF && isErrno(err, want)
}

func isErrno(err, want error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Err.Error() == "read: "+want.Error()
}

func datagramAt(pc net.PacketConn) bool {
	pc.SetReadDeadline(in(time.Nanosecond))
	k, _, _ := pc.ReadFrom(make([]byte, 100))
	return k > 0
}

func accepts(l *sim.TCPListener) bool {
	l.SetDeadline(in(time.Nanosecond))
	c, _ := l.Accept()
	return c != nil
}

func connects(h *sim.Host, addr string) bool {
	c, err := h.Dialer().Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// refusesDatagrams sends a datagram and waits for the message that nobody listens.
func refusesDatagrams(h *sim.Host, addr string) bool {
	c, err := h.Dial("udp", addr)
	check(err)
	defer c.Close()
	c.Write([]byte{1})
	c.SetReadDeadline(in(time.Second))
	_, err = c.Read(make([]byte, 1))
	return isErrno(err, syscall.ECONNREFUSED)
}
