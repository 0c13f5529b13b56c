package sim_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The peers learn of a crash: established connections are reset after one transit, and new ones are
// refused after a round trip.
func TestCrashResetsAndRefuses(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		r.n.After(0, r.b.Crash)
		_, err := r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, start+10*ms, r.n.Elapsed())

		start = r.n.Elapsed()
		require.ErrorIs(t, r.connects(time.Second), syscall.ECONNREFUSED)
		require.Equal(t, start+20*ms, r.n.Elapsed())

		r.atA.Write([]byte{1})
		_, err = r.atA.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "UDP")
		r.requireFired()
	})
}

// On the crashed host itself every call fails until the host is restarted.
func TestCrashedHostCanDoNothing(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Set(netem.Config{Delay: time.Hour})
		dialled := make(chan error, 1)
		go func() {
			_, err := r.a.Dial("tcp", "b:7")
			dialled <- err
		}()
		read := make(chan error, 1)
		go func() {
			_, err := r.conn.Read(make([]byte, 1))
			read <- err
		}()
		l := listen(t, r.a, ":8")
		accepted := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		received := make(chan error, 1)
		go func() {
			_, _, err := r.answer.ReadFrom(make([]byte, 1))
			received <- err
		}()
		time.Sleep(ms)
		start := r.n.Elapsed()
		r.a.Crash()
		for _, blocked := range []chan error{dialled, read, accepted, received} {
			require.ErrorIs(t, <-blocked, net.ErrClosed)
		}
		require.Less(t, r.n.Elapsed()-start, time.Microsecond)

		_, err := r.conn.Write([]byte{1})
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = r.answer.WriteTo([]byte{1}, udpAddr("10.0.0.2:9"))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = r.a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		_, err = r.a.Dial("udp", "b:9")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		_, err = r.a.Listen("tcp", ":8")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		_, err = r.a.ListenPacket("udp", ":8")
		require.ErrorIs(t, err, syscall.ENETDOWN)

		r.a.Crash() // a second one does nothing
		r.a.Restart()
		listen(t, r.a, ":8")
		r.requireFired()
	})
}

// A host without power is silent. An idle peer notices by keep-alive: the first of nine probes, 15
// s apart, goes out 15 s after the last sign of life.
func TestPowerOffIsNoticedByKeepAlive(t *testing.T) {
	onRig(t, func(r *rig) {
		require.Equal(t, 20*ms, r.echoes(time.Second))
		r.conn.SetReadDeadline(time.Time{})
		start := r.n.Elapsed()
		r.b.PowerOff()
		_, err := r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Equal(t, start+15*time.Second+9*15*time.Second, r.n.Elapsed())

		require.ErrorIs(t, r.connects(time.Minute), context.DeadlineExceeded)
		aToB, _ := sent(r)
		require.False(t, aToB)
		r.requireFired()
	})
}

// sent reports whether a datagram from a reaches b.
func sent(r *rig) (bool, error) {
	r.atA.Write([]byte{1})
	r.atB.SetReadDeadline(in(time.Second))
	_, _, err := r.atB.ReadFrom(make([]byte, 1))
	return err == nil, err
}

// When the power comes back, the host does not know its old connections: it resets what the peer
// sends.
func TestRestartAfterPowerOffResetsOldConnections(t *testing.T) {
	onRig(t, func(r *rig) {
		r.b.PowerOff()
		require.Zero(t, r.echoes(100*ms))
		r.b.Restart()
		r.conn.SetReadDeadline(time.Time{})
		_, err := r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.ErrorIs(t, r.connects(time.Second), syscall.ECONNREFUSED, "the listener went with the memory")
	})
}

func TestPowerOffIsHitByPackets(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		b.PowerOff()
		require.Contains(t, n.IdleFaults(), "b: power off at 0s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := a.DialContext(ctx, "tcp", "b:7")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, n.IdleFaults())
	})
}

// Data written at the instant at which the power fails never leaves the host. After a crash the
// operating system lives on and sends the datagram.
func TestPowerOffTakesWhatWasJustWritten(t *testing.T) {
	for _, c := range []struct {
		reason string
		do     func(*sim.Host)
		arrive bool
	}{{"power off", (*sim.Host).PowerOff, false}, {"crash", (*sim.Host).Crash, true}} {
		t.Run(c.reason, func(t *testing.T) {
			onRig(t, func(r *rig) {
				r.atA.Write([]byte{1})
				r.conn.Write([]byte{1})
				c.do(r.a)
				r.atB.SetReadDeadline(in(time.Second))
				_, _, err := r.atB.ReadFrom(make([]byte, 1))
				if c.arrive {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.EqualValues(t, 2, stats(r.n, "a", "b").Sent, "the handshake and nothing after it")
			})
		})
	}
}

// A paused process notices nothing, while its operating system goes on acknowledging.
func TestPauseFreezesTheProcessNotTheSystem(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		r.b.Pause()
		require.Contains(t, r.n.IdleFaults(), "b: pause")
		r.n.After(time.Hour, r.b.Resume)
		_, err := r.conn.Write([]byte{1})
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, 0, retransmissions(r.n), "the system has acknowledged")
		require.NoError(t, r.connects(time.Second), "and accepted a connection")
		_, err = io.ReadFull(r.conn, make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, start+time.Hour+10*ms, r.n.Elapsed().Truncate(ms))
		r.requireFired()
	})
}

func retransmissions(n *sim.Network) (total int) {
	for _, h := range n.Stats().Hosts {
		total += h.Retransmits
	}
	return total
}

// A paused process does not notice that its deadline has passed.
func TestPauseHoldsDeadlines(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		r.conn.SetReadDeadline(in(time.Second))
		r.n.After(500*ms, r.a.Pause)
		r.n.After(time.Minute, r.a.Resume)
		_, err := r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, start+time.Minute, r.n.Elapsed())
		r.requireFired()
	})
}

// A call that begins while the host is paused waits until the host resumes.
func TestPauseBlocksNewCalls(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		r.conn.Write([]byte{1})
		time.Sleep(time.Second) // the echo is there
		r.a.Pause()
		r.n.After(time.Minute, r.a.Resume)
		_, err := r.conn.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, start+time.Minute+time.Second, r.n.Elapsed())
		r.requireFired()
	})
}

// Timers run on during a pause, and another goroutine may wait under a lock for what they close, as
// in coder/websocket.
func TestCloseEndsTheCallsOfAPausedProcess(t *testing.T) {
	onRig(t, func(r *rig) {
		l, err := r.a.Listen("tcp", ":8")
		require.NoError(t, err)
		u, err := r.a.ListenPacket("udp", ":8")
		require.NoError(t, err)
		start := r.n.Elapsed()
		r.a.Pause()
		r.n.After(time.Minute, r.a.Resume)
		time.AfterFunc(time.Second, func() { r.conn.Close(); l.Close(); u.Close() })
		var calls sync.WaitGroup
		calls.Go(func() { l.Accept() })
		calls.Go(func() { u.ReadFrom(make([]byte, 1)) })
		_, err = r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		calls.Wait()
		require.Equal(t, start+time.Second, r.n.Elapsed())
	})
}

func TestCrashOfAPausedHost(t *testing.T) {
	onRig(t, func(r *rig) {
		r.b.Pause()
		r.conn.Write([]byte{1})
		r.n.After(time.Minute, r.b.Crash)
		_, err := r.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		r.b.Resume() // nothing to resume
		r.b.Restart()
		accept(listen(t, r.b, ":7"), echo)
		require.NoError(t, r.connects(time.Second))
	})
}

// A process starts with empty memory each time, and its context is cancelled when it must end.
func TestRunStartsAnewAfterRestart(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("server")
		counts, ended := make(chan int, 10), make(chan time.Duration, 10)
		h.Run("counter", func(ctx context.Context, h *sim.Host) error {
			count := 0
			defer func() { counts <- count; ended <- n.Elapsed() }()
			for {
				select {
				case <-ctx.Done():
					return errors.New("no failure: the host is down")
				case <-time.After(time.Second):
					count++
				}
			}
		})
		n.After(3500*ms, h.Crash)
		n.After(5*time.Second, h.Restart)
		n.After(7500*ms, h.PowerOff)
		n.After(8*time.Second, h.Restart)
		n.After(9500*ms, h.Restart) // of a host that runs
		time.Sleep(10 * time.Second)
		for i, at := range []time.Duration{3500 * ms, 7500 * ms, 9500 * ms} {
			require.Equal(t, 3-i, <-counts)
			require.Equal(t, at, <-ended)
		}
		require.Empty(t, n.IdleFaults())
	})
}

func TestRunOnADeadHostWaitsForRestart(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("server")
		h.Crash()
		started := make(chan time.Duration, 1)
		h.Run("late", func(context.Context, *sim.Host) error { started <- n.Elapsed(); return nil })
		n.After(time.Minute, h.Restart)
		require.Equal(t, time.Minute, <-started)
	})
}

// A server made by ServeHTTP is back after a restart, with the same handler. The client's pooled
// connection is reset, so its next request uses a new one.
func TestServeHTTPSurvivesRestart(t *testing.T) {
	for _, down := range []struct {
		reason string
		do     func(*sim.Host)
	}{{"crash", (*sim.Host).Crash}, {"power off", (*sim.Host).PowerOff}, {"restart alone", func(*sim.Host) {}}} {
		t.Run(down.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				n.Link(server, phone, netem.Config{Delay: 10 * ms})
				var requests atomic.Int32
				server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					io.WriteString(w, "hello")
				}))
				c := phone.HTTPClient()
				require.Equal(t, "hello", get(t, c, "http://server/"))
				n.After(time.Second, func() { down.do(server) })
				n.After(2*time.Second, server.Restart)
				time.Sleep(3 * time.Second)
				start := n.Elapsed()
				require.Equal(t, "hello", get(t, c, "http://server/"))
				if down.reason == "power off" { // nothing was told: the old connection is tried first
					require.Equal(t, start+60*ms, n.Elapsed())
				} else {
					require.Equal(t, start+40*ms, n.Elapsed())
				}
				require.EqualValues(t, 2, requests.Load())
			})
		})
	}
}

// A restart at the instant of the start leaves one server, not two or none.
func TestServeHTTPAndRestartAtOnce(t *testing.T) {
	for range 20 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			server.ServeHTTP(":80", http.NotFoundHandler())
			server.Restart()
			time.Sleep(time.Second)
			dial(t, n.Host("phone"), "server:80").Close()
		})
	}
}

// A blocked call returns when its host ends, even if the next event is far away.
func TestCallsReturnWhenTheHostEnds(t *testing.T) {
	for name, end := range map[string]func(h *sim.Host){"crash": (*sim.Host).Crash, "power off": (*sim.Host).PowerOff} {
		for what, call := range map[string]func(h *sim.Host) error{
			"dial": func(h *sim.Host) error { _, err := h.Dial("tcp", "dark:7"); return err },
			"read": func(h *sim.Host) error {
				c, err := h.Dial("tcp", "server:7")
				if err == nil {
					_, err = c.Read(make([]byte, 1))
				}
				return err
			},
			"accept": func(h *sim.Host) error {
				l, err := h.Listen("tcp", ":7")
				if err == nil {
					_, err = l.Accept()
				}
				return err
			},
			"datagram": func(h *sim.Host) error {
				u, err := h.ListenPacket("udp", ":7")
				if err == nil {
					_, _, err = u.ReadFrom(make([]byte, 1))
				}
				return err
			},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					h := n.Host("h")
					n.Link(h, n.Host("dark"), netem.Config{}).Down()
					accept(listen(t, n.Host("server"), ":7"), func(c net.Conn) { c.Read(make([]byte, 1)) })
					var at time.Duration
					done := make(chan error, 1)
					go func() {
						err := call(h)
						at = n.Elapsed()
						done <- err
					}()
					time.Sleep(1700 * ms)
					end(h)
					err := <-done
					require.ErrorIs(t, err, net.ErrClosed)
					require.Less(t, at-1700*ms, time.Microsecond)
				})
			})
		}
	}
}
