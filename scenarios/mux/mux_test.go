package mux_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of multiplexing.
var scenarios = []scenario.Row{
	{Name: "MX-01 a stream is not read", Reason: "it must block only itself (smux v1 shares one buffer of 4 MiB among all streams)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			stuck, _ := w.open()
			sent, err := zeros(stuck, 1<<20, 10*time.Second)
			require.ErrorIs(t, err, late)
			require.Equal(t, 256<<10, sent, "its window")

			a, b := w.open()
			go io.Copy(b, b)
			took, err := ask(a, "hello")
			require.NoError(t, err)
			require.Equal(t, 80*time.Millisecond, took, "one round trip")
		}},
	{Name: "MX-02 a thousand streams are not read", Reason: "windows alone would allow 256 MB (CVE-2019-9517 is the same problem in HTTP/2 servers)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{MaxStreams: 2000, MaxReceiveBytes: 1 << 20})
			var unread []*mux.Stream
			for range 1000 {
				a, b := w.open()
				a.Write(make([]byte, 4<<10))
				unread = append(unread, b)
			}
			time.Sleep(time.Second)
			// 256 times 4 KiB are 1 MiB. Each of the 744 others cost the stream with the most its life: the
			// oldest, of equal ones.
			require.EqualValues(t, 1<<20, w.server.Stats().UnreadBytes)
			require.EqualValues(t, 744, w.server.Stats().Reset)
			_, err := unread[743].Read(make([]byte, 1))
			require.ErrorIs(t, err, mux.ErrReceiveBuffer)
			require.NoError(t, read(unread[744], 4<<10))
		}},
	{Name: "MX-03 a long transfer and short messages at 1 Mbit/s", Reason: "if frames are queued in the order of the calls, short messages wait for the long transfer",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, netem.Config{Rate: netem.Mbit}, mux.Config{Window: 8 << 20}, mux.Config{Window: 8 << 20})
			w.ends[0].SetWriteBuffer(4 << 10) // what lies in the kernel's buffer is before everything
			bulk, sink := w.open()
			go io.Copy(io.Discard, sink)
			go bulk.Write(make([]byte, 4<<20))
			a, b := w.open()
			go io.Copy(b, b)
			time.Sleep(time.Second)
			for range 20 {
				took, err := ask(a, "hello")
				require.NoError(t, err)
				// A frame of 64 KiB in 46 segments is 68 KB on the wire, 544 ms. The kernel's buffer has up to 12 KB
				// before it.
				require.LessOrEqual(t, took, 640*time.Millisecond)
				time.Sleep(137 * time.Millisecond)
			}
			bulk.Reset(0)
		}},
	{Name: "MX-04 a peer sends more than its window", Reason: "memory is bounded only if that ends the session (hashicorp/yamux#112)",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			conn.Write(frame(window, syn, 1, 0))
			for range 4 {
				conn.Write(append(frame(data, 0, 1, 64<<10), make([]byte, 64<<10)...))
			}
			conn.Write(append(frame(data, 0, 1, 1), 0))
			require.Equal(t, frame(goAway, 0, 0, mux.CodeProtocol), lastFrame(conn))
			require.ErrorContains(t, s.Err(), "stream 1: 1 bytes with a window of 0")
		}},
	{Name: "MX-05 both sides write before they read", Reason: "a reader that must write first would wait for the other side forever (libp2p/rust-libp2p#1257, #5410)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{Window: 1 << 20}, mux.Config{Window: 1 << 20})
			a, b := w.open()
			time.Sleep(time.Second) // the window comes with the acknowledgement
			exchange(t, a, b, 1<<20)
		}},
	{Name: "MX-05 both sides write more than their windows before they read", Reason: "these writes must wait for their windows, but nothing else may",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			a, b := w.open()
			for _, st := range []*mux.Stream{a, b} {
				sent, err := zeros(st, 1<<20, time.Second)
				require.ErrorIs(t, err, late)
				require.Equal(t, 256<<10, sent)
			}
			c, d := w.open()
			exchange(t, c, d, 256<<10)
			require.NoError(t, read(a, 256<<10))
			require.NoError(t, read(b, 256<<10))
		}},
	{Name: "MX-06 the link holds less than a frame, in both directions", Reason: "an endpoint that writes from its read loop deadlocks when the buffers are full (libp2p/rust-yamux#102)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, netem.Config{Delay: 40 * time.Millisecond, Rate: 256 * netem.Kbit}, mux.Config{}, mux.Config{})
			for _, c := range w.ends {
				c.SetReadBuffer(4 << 10)
				c.SetWriteBuffer(4 << 10)
			}
			a, b := w.open()
			exchange(t, a, b, 200_000)
		}},
	{Name: "MX-07 nobody accepts", Reason: "the backlog is bounded: further streams are refused, and other streams continue",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{AcceptBacklog: 4})
			a, b := w.open()
			var waiting []*mux.Stream
			for range 6 {
				st, err := w.client.Open(t.Context())
				require.NoError(t, err)
				waiting = append(waiting, st)
			}
			for i, st := range waiting {
				st.SetReadDeadline(time.Now().Add(time.Second))
				_, err := st.Read(make([]byte, 1))
				if i < 4 {
					require.ErrorIs(t, err, late, "stream %d", i)
				} else {
					require.ErrorIs(t, err, mux.ErrRefused, "stream %d", i)
					require.True(t, mux.Unprocessed(err))
				}
			}
			go io.Copy(b, b)
			_, err := ask(a, "hello")
			require.NoError(t, err)
		}},
	{Name: "MX-07 nobody accepts, and the opener has the same limit", Reason: "Open waits, instead of having a stream refused",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{AcceptBacklog: 4}, mux.Config{AcceptBacklog: 4})
			for range 4 {
				_, err := w.client.Open(t.Context())
				require.NoError(t, err)
			}
			began := n.Elapsed()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.client.Open(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, round(n.Elapsed()-began))

			go w.server.Accept()
			began = n.Elapsed()
			_, err = w.client.Open(t.Context())
			require.NoError(t, err)
			require.Equal(t, 40*time.Millisecond, round(n.Elapsed()-began), "when the acknowledgement comes")
		}},
	{Name: "MX-08 a stream is closed before it is acknowledged", Reason: "it works like any other stream, and its slot is free again",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			for range 300 { // more than may be open without an acknowledgement
				a, err := w.client.Open(t.Context())
				require.NoError(t, err)
				a.Write([]byte("bye"))
				a.Close()
				b, err := w.server.AcceptStream(t.Context())
				require.NoError(t, err)
				got, err := io.ReadAll(b)
				require.NoError(t, err)
				require.Equal(t, "bye", string(got))
				b.Close()
			}
			time.Sleep(time.Second)
			require.Zero(t, w.client.Stats().Streams)
			require.Zero(t, w.server.Stats().Streams)
		}},
	{Name: "MX-09 the end comes with data on its way", Reason: "the end of a direction arrives after the data written before it, and concerns that direction only",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}, mux.Config{}, mux.Config{})
			a, b := w.open()
			want := pattern(200_000)
			go func() {
				a.Write(want)
				a.CloseWrite()
			}()
			got, err := io.ReadAll(b)
			require.NoError(t, err)
			require.Equal(t, want, got)
			_, err = a.Write([]byte("more"))
			require.ErrorIs(t, err, net.ErrClosed)
			b.Write([]byte("the other direction"))
			b.Close()
			got, err = io.ReadAll(a)
			require.NoError(t, err)
			require.Equal(t, "the other direction", string(got))
		}},
	{Name: "MX-10 a reset while both sides read and write", Reason: "all four calls return: on this side at once, on the other after a transit",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			a, b := w.open()
			ended := make(chan error, 4)
			for _, st := range []*mux.Stream{a, b} {
				zeros(st, 256<<10, time.Second) // the window is full
			}
			c, d := w.open() // of these the buffers are empty
			go func() { _, err := a.Write([]byte("x")); ended <- err }()
			go func() { _, err := b.Write([]byte("x")); ended <- err }()
			go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
			go func() { _, err := d.Read(make([]byte, 1)); ended <- err }()
			time.Sleep(time.Second)
			began := n.Elapsed()
			a.Reset(7)
			c.Reset(7)
			for i := range 4 {
				var e *mux.ResetError
				require.ErrorAs(t, <-ended, &e)
				require.Equal(t, mux.ResetError{Code: 7, Remote: i >= 2}, *e)
				require.Equal(t, i >= 2, round(n.Elapsed()-began) == 40*time.Millisecond)
			}
		}},
	{Name: "MX-11 a window for a stream that has ended", Reason: "the window update crosses the end of the stream, which is no protocol error (libp2p/rust-yamux#109)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			for range 3 {
				a, b := w.open()
				a.Write(make([]byte, 200_000))
				go read(b, 200_000) // half of the window is given back
				time.Sleep(40 * time.Millisecond)
				a.Reset(0)
				time.Sleep(time.Second)
			}
			require.NoError(t, w.client.Err())
			require.NoError(t, w.server.Err())
		}},
	{Name: "MX-12 the link goes silent", Reason: "both sides notice within KeepAlive and Timeout, and every stream ends with an error",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			a, b := w.open()
			n.After(5*time.Second, w.link.Down)
			ended := make(chan time.Duration, 2)
			for _, st := range []*mux.Stream{a, b} {
				go func() {
					_, err := st.Read(make([]byte, 1))
					require.ErrorIs(t, err, mux.ErrTimeout)
					require.NotErrorIs(t, err, io.EOF)
					ended <- round(n.Elapsed())
				}()
			}
			// The stream was opened at 120 ms. The server heard of it 40 ms later, and the phone its
			// acknowledgement after 40 ms more. From then on 30 s and 10 s.
			require.Equal(t, 40*time.Second+160*time.Millisecond, <-ended)
			require.Equal(t, 40*time.Second+200*time.Millisecond, <-ended)
			<-w.client.Done()
			<-w.server.Done()
		}},
	{Name: "MX-12 a quiet hour", Reason: "an idle session stays alive: one ping every 30 s, and its answer",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{KeepAlive: -1})
			time.Sleep(time.Hour)
			require.NoError(t, w.client.Err())
			// Each takes 30 s and a round trip of 80 ms: 119 in the hour, of 12 bytes.
			require.EqualValues(t, 119*12, w.client.Stats().SentBytes)
			require.EqualValues(t, 119*12, w.server.Stats().SentBytes)
		}},
	{Name: "MX-13 the peer reads no more, and a write waits", Reason: "the ping cannot be sent, which counts as unanswered (golang/go#48810)",
		Story: func(t *testing.T, n *sim.Network) {
			phone, server := n.Host("phone"), n.Host("server")
			n.Link(phone, server, scenario.Good)
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			conn, err := phone.Dial("tcp", "server:80")
			require.NoError(t, err)
			s := mux.Config{WriteTimeout: -1, Linger: 1}.Client(conn)
			defer l.Close()
			defer s.Close()
			began := n.Elapsed()
			var ends sync.WaitGroup
			for range 64 { // 16 MiB, more than the kernels take
				time.Sleep(time.Microsecond)
				st, err := s.Open(t.Context())
				require.NoError(t, err)
				ends.Go(func() {
					_, err := st.Write(make([]byte, 256<<10))
					if err == nil { // the kernel has it
						_, err = st.Read(make([]byte, 1))
					}
					require.ErrorIs(t, err, mux.ErrTimeout)
				})
			}
			ends.Wait()
			require.Equal(t, 40*time.Second, round(n.Elapsed()-began))
		}},
	{Name: "MX-13 the peer sends, but reads no more", Reason: "data arrives all the time, so only the blocked write shows the problem",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for {
					conn.Write(frame(window, 0, 9, 0))
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
					}
				}
			}()
			var ends sync.WaitGroup
			began := n.Elapsed()
			for range 64 {
				time.Sleep(time.Microsecond)
				st, err := s.Open(t.Context())
				require.NoError(t, err)
				ends.Go(func() {
					st.Write(make([]byte, 256<<10))
					_, err := st.Read(make([]byte, 1))
					require.ErrorIs(t, err, mux.ErrTimeout)
				})
			}
			ends.Wait()
			// When the buffers are full, after some round trips, the last write has a minute.
			require.InDelta(t, time.Minute, round(n.Elapsed()-began), float64(time.Second))
		}},
	{Name: "MX-14 a flood of pings", Reason: "each ping would queue an answer (CVE-2019-9512)",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			conn.(*sim.TCPConn).SetReadBuffer(4 << 10) // it does not read the answers
			for range 100_000 {
				conn.Write(frame(ping, syn, 0, 1))
			}
			conn.Write(frame(window, syn, 1, 0))
			_, err := s.AcceptStream(t.Context())
			require.NoError(t, err)
			stats := s.Stats()
			require.EqualValues(t, 100_001*12, stats.ReceivedBytes)
			require.Greater(t, stats.UnansweredPings, int64(0))
			// Each was answered, or dropped; 32 answers wait.
			require.InDelta(t, 100_000*12, stats.SentBytes+12*stats.UnansweredPings, 32*12)
		}},
	{Name: "MX-15 streams are opened and reset at once", Reason: "each costs the server work (CVE-2023-44487): a limited number is allowed, then the session ends",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			for i := range 1001 {
				conn.Write(append(frame(window, syn, uint32(2*i+1), 0), frame(window, rst, uint32(2*i+1), 0)...))
			}
			require.Equal(t, frame(goAway, 0, 0, mux.CodeProtocol), lastFrame(conn))
			require.ErrorContains(t, s.Err(), "1001 streams reset before they were accepted, within 10 s")
			require.EqualValues(t, 0, s.Stats().Refused, "their places in the backlog were free again")
		}},
	{Name: "MX-15 accepted streams are reset at once", Reason: "the program may not have noticed the reset yet: the stream counts until its work has ended",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{MaxStreams: 10})
			var working []*mux.Stream
			for range 10 {
				a, b := w.open()
				working = append(working, b)
				a.Reset(0)
			}
			for i := range 3 {
				st, err := w.client.Open(t.Context())
				require.NoError(t, err)
				st.SetReadDeadline(time.Now().Add(time.Second))
				_, err = st.Read(make([]byte, 1))
				if i < 2 {
					require.ErrorIs(t, err, mux.ErrRefused)
				} else {
					require.ErrorIs(t, err, late)
				}
				if i == 1 {
					working[0].Close()
				}
			}
		}},
	{Name: "MX-16 a server goes, and some streams were not accepted", Reason: "streams that were not accepted are reported as unprocessed and can be opened elsewhere; the others finish",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			var open, accepted []*mux.Stream
			for i := range 7 {
				st, err := w.client.Open(t.Context())
				require.NoError(t, err)
				open = append(open, st)
				if i < 5 {
					b, err := w.server.AcceptStream(t.Context())
					require.NoError(t, err)
					accepted = append(accepted, b)
				}
			}
			drained := make(chan error)
			go func() { drained <- w.server.Drain(t.Context()) }()
			for _, st := range open[5:] {
				_, err := st.Read(make([]byte, 1))
				require.ErrorIs(t, err, mux.ErrRefused)
				require.True(t, mux.Unprocessed(err))
			}
			_, err := w.client.Open(t.Context())
			require.ErrorIs(t, err, mux.ErrDraining)
			for i, b := range accepted {
				b.Write([]byte("answer"))
				b.Close()
				got, err := io.ReadAll(open[i])
				require.NoError(t, err)
				require.Equal(t, "answer", string(got))
				open[i].Close()
			}
			require.NoError(t, <-drained)
			<-w.client.Done()
		}},
	{Name: "MX-17 servers go while streams are being opened", Reason: "streams that cross the go-away are served, so no request fails (grpc/grpc-go#2919)",
		Story: func(t *testing.T, n *sim.Network) {
			phone, server := n.Host("phone"), n.Host("server")
			n.Link(phone, server, scenario.Good)
			drain := serve(t, server, mux.Config{})
			c := client(t, phone, "server")
			for i := 1; i <= 5; i++ {
				n.After(time.Duration(i)*time.Second+500*time.Microsecond, func() { go drain(context.Background()) })
			}
			var all sync.WaitGroup
			var failed atomic.Int32
			for range 1200 { // a request every 5 ms
				all.Go(func() {
					if err := request(t.Context(), c.Open, "hello"); err != nil {
						failed.Add(1)
						t.Log(err)
					}
				})
				time.Sleep(5 * time.Millisecond)
			}
			all.Wait()
			require.Zero(t, failed.Load())
			require.EqualValues(t, 6, c.Stats().Sessions)
		}},
	{Name: "MX-18 a server goes that has no streams", Reason: "a session that waits for its last stream to end would never end without any (grpc/grpc-go#1462)",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			began := n.Elapsed()
			require.NoError(t, w.server.Drain(t.Context()))
			require.Equal(t, 160*time.Millisecond, round(n.Elapsed()-began), "that the phone knows, and that it has all")
			<-w.client.Done()
			require.ErrorContains(t, w.client.Err(), "normal")
		}},
	{Name: "MX-19 a segment is lost on a shared connection", Reason: "TCP keeps the order over all streams: data that was not lost waits too",
		Story: loseOne(1, 6)},
	{Name: "MX-19 a segment is lost on one of six connections", Reason: "the other connections are not affected",
		Story: loseOne(6, 1)},
	{Name: "MX-20 a stream has a number of the other side", Reason: "it would collide with one of this side's streams (hashicorp/yamux accepts it)",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			conn.Write(frame(window, syn, 2, 0))
			require.Equal(t, frame(goAway, 0, 0, mux.CodeProtocol), lastFrame(conn))
			require.ErrorContains(t, s.Err(), "stream 2")
		}},
	{Name: "MX-21 a length is damaged below the checksum", Reason: "a length beyond the window is not believed",
		Story: func(t *testing.T, n *sim.Network) {
			conn, s := rawPeer(t, n, mux.Config{})
			conn.Write(append(frame(data, syn, 1, 5|1<<31), "hello"...))
			require.Equal(t, frame(goAway, 0, 0, mux.CodeProtocol), lastFrame(conn))
			require.ErrorContains(t, s.Err(), "stream 1: 2147483653 bytes")
			require.Zero(t, s.Stats().UnreadBytes)
		}},
	{Name: "MX-22 connections have a maximum age", Reason: "clients that connected together would reconnect together (gRFC A9: a tenth more or less)",
		Story: func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			server.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
			serve(t, server, mux.Config{MaxAge: time.Hour, Jitter: retry.Seeded(n.Seed()), KeepAlive: -1})
			var failed atomic.Int32
			var clients sync.WaitGroup
			for i := range 20 {
				phone := n.Host("phone-" + string(rune('a'+i)))
				phone.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
				n.Link(phone, server, scenario.Good)
				c := client(t, phone, "server")
				c.Config.KeepAlive = -1
				clients.Go(func() {
					for range 75 { // a request every minute
						if request(t.Context(), c.Open, "hello") != nil {
							failed.Add(1)
						}
						time.Sleep(time.Minute)
					}
					if c.Stats().Sessions != 2 {
						failed.Add(1)
					}
				})
			}
			clients.Wait()
			require.Zero(t, failed.Load(), "requests that failed, and clients that did not have two sessions")
			var first, last time.Duration
			for e := range n.Trace().Events() {
				if e.Kind == sim.Sent && e.Flags == "S" && e.At > time.Minute {
					if first == 0 {
						first = e.At
					}
					last = e.At
				}
			}
			require.GreaterOrEqual(t, first, 54*time.Minute)
			require.LessOrEqual(t, last, 67*time.Minute+time.Second, "at the next request after at most 66 min")
			// The ages are spread over twelve minutes: that all 20 are within five happens in one of a million seeds.
			require.Greater(t, last-first, 4*time.Minute)
		}},
	{Name: "MX-23 a hundred requests over six connections", Reason: "the alternative to multiplexing: each request waits for its turn",
		Story: func(t *testing.T, n *sim.Network) {
			phone, server := n.Host("phone"), n.Host("server")
			n.Link(phone, server, scenario.Good)
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() { io.Copy(conn, conn); conn.Close() }()
				}
			}()
			pool := &mux.Pool{DialContext: func(ctx context.Context) (net.Conn, error) { return phone.DialContext(ctx, "tcp", "server:80") }}
			defer pool.Close()
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					c, err := pool.Get(t.Context())
					require.NoError(t, err)
					_, err = ask(c, "hello")
					require.NoError(t, err)
					c.Release()
				})
				time.Sleep(1)
			}
			all.Wait()
			// A round trip to connect, and then 17 turns of six. The first six do not wait; the others 160 ms
			// and 80 ms more for each turn before, the last four 1360 ms.
			require.Equal(t, 80*time.Millisecond+17*80*time.Millisecond, round(n.Elapsed()))
			var wait time.Duration
			for i := range 94 {
				wait += 160*time.Millisecond + time.Duration(i/6)*80*time.Millisecond
			}
			stats := pool.Stats()
			require.InDelta(t, wait, stats.Wait, float64(100*time.Microsecond), "with the nanoseconds by which they came one after the other")
			require.EqualValues(t, 94, stats.Waited)
			require.EqualValues(t, 6, stats.Dialed)
		}},
	{Name: "MX-23 a hundred requests over one session", Reason: "no request waits: all take one round trip",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			echo(w.server)
			began := n.Elapsed()
			var all sync.WaitGroup
			for range 100 {
				st, err := w.client.Open(t.Context())
				require.NoError(t, err)
				all.Go(func() {
					_, err := ask(st, "hello")
					require.NoError(t, err)
				})
			}
			all.Wait()
			require.Equal(t, 80*time.Millisecond, round(n.Elapsed()-began))
		}},
	{Name: "MX-24 deadlines", Reason: "they are exact to the nanosecond, in both directions, and the stream continues after them",
		Story: func(t *testing.T, n *sim.Network) {
			w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
			a, b := w.open()
			began := n.Elapsed()
			a.SetReadDeadline(time.Now().Add(time.Second))
			_, err := a.Read(make([]byte, 1))
			require.ErrorIs(t, err, late)
			require.Equal(t, time.Second, round(n.Elapsed()-began))
			sent, err := zeros(a, 1<<20, time.Second)
			require.ErrorIs(t, err, late)
			require.Equal(t, 256<<10, sent)
			require.Equal(t, 2*time.Second, round(n.Elapsed()-began))

			a.SetDeadline(time.Time{})
			require.NoError(t, read(b, sent))
			go io.Copy(b, b)
			_, err = ask(a, "hello")
			require.NoError(t, err)
		}},
}

// exchange writes n bytes in both directions, and reads them only when both are written.
func exchange(t *testing.T, a, b *mux.Stream, n int) {
	var written sync.WaitGroup
	for _, st := range []*mux.Stream{a, b} {
		written.Go(func() {
			_, err := st.Write(make([]byte, n))
			require.NoError(t, err)
		})
	}
	written.Wait()
	require.NoError(t, read(a, n))
	require.NoError(t, read(b, n))
}

// loseOne has six streams, on so many connections, that send a message each at nearly one instant, and loses the
// first of them; of so many streams the message is late.
func loseOne(connections, late int) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		var receivers []*mux.Stream
		var senders []*mux.Stream
		w := connect(t, n, scenario.Good, mux.Config{}, mux.Config{})
		for c := range connections {
			if c > 0 {
				w.session(mux.Config{}, mux.Config{})
			}
			for range 6 / connections {
				a, b := w.open()
				senders, receivers = append(senders, a), append(receivers, b)
			}
		}
		time.Sleep(time.Second)
		n.Inject(0, time.Hour, sim.Drop(w.link, sim.Packets{From: w.phone, Kind: sim.Data, Nth: 1}))
		began := n.Elapsed()
		var delayed atomic.Int32
		var all sync.WaitGroup
		for _, b := range receivers {
			all.Go(func() {
				require.NoError(t, read(b, 5))
				if n.Elapsed()-began > 45*time.Millisecond {
					delayed.Add(1)
				}
			})
		}
		for _, a := range senders {
			a.Write([]byte("hello"))
			time.Sleep(time.Microsecond)
		}
		all.Wait()
		require.EqualValues(t, late, delayed.Load())
	}
}
