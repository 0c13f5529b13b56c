package mux_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/patterns/retry"
)

func TestCheckNamesFieldAndValue(t *testing.T) {
	for _, row := range []struct {
		c    mux.Config
		says string
	}{
		{mux.Config{AcceptBacklog: -1}, "mux: Config.AcceptBacklog is -1: want 0 for the default, or 1 to 65536"},
		{mux.Config{MaxStreams: 1_000_001}, "Config.MaxStreams is 1000001"},
		{mux.Config{MaxResets: -5}, "Config.MaxResets is -5"},
		{mux.Config{PingBacklog: 1 << 20}, "Config.PingBacklog is 1048576"},
		{mux.Config{Window: 1000}, "Config.Window is 1000: want 0 for the default, or 262144 to 1073741824"},
		{mux.Config{Window: 1 << 20, MaxReceiveBytes: 1<<20 - 1}, "Config.MaxReceiveBytes is 1048575: want 0 for the default, or 1048576"},
		{mux.Config{MaxFrameBytes: 100}, "Config.MaxFrameBytes is 100"},
		{mux.Config{Linger: 2 * time.Second}, "Config.Linger is 2s"},
		{mux.Config{Timeout: -1}, "Config.Timeout is -1ns"},
		{mux.Config{CloseTimeout: -1}, "Config.CloseTimeout is -1ns"},
		{mux.Config{GoAwayTimeout: -1}, "Config.GoAwayTimeout is -1ns"},
		{mux.Config{MaxAge: -1}, "Config.MaxAge is -1ns"},
		{mux.Config{MaxAgeGrace: -1}, "Config.MaxAgeGrace is -1ns"},
		{mux.Config{KeepAlive: 1 << 62}, "Config.KeepAlive is"},
	} {
		require.ErrorContains(t, row.c.Check(), row.says)
		p, _ := net.Pipe()
		require.Panics(t, func() { row.c.Client(p) })
	}
	require.NoError(t, mux.Config{KeepAlive: -1, WriteTimeout: -1}.Check())
	require.ErrorContains(t, (&mux.Client{Addr: "server"}).Check(), `mux: Client.Addr is "server"`)
	require.ErrorContains(t, (&mux.Client{Addr: "server:80", Config: mux.Config{Window: 1}}).Check(), "Window is 1")
	require.ErrorContains(t, (&mux.Pool{}).Check(), "mux: Pool.DialContext is nil")
	require.ErrorContains(t, (&mux.Pool{MaxConns: -1}).Check(), "Pool.MaxConns is -1")
}

// A backlog of 256 takes so many streams, and refuses the rest, with a reset without an acknowledgement.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, true)
		for i := range 300 {
			r.send(frame(window, syn, uint32(2*i+1), 0))
		}
		require.EqualValues(t, 44, s.Stats().Refused)
		require.True(t, strings.HasPrefix(r.answers(), "window RST 513 0, window RST 515 0"), r.answers())
		require.Equal(t, 44, strings.Count(r.answers(), "RST"))
		for range 256 {
			_, err := s.AcceptStream(t.Context())
			require.NoError(t, err)
		}
	})
}

// A peer that opens what is refused, and does not read the refusals, is not served.
func TestRefusalsThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{AcceptBacklog: 1}, false)
		for i := range 20 {
			r.send(frame(window, syn, uint32(2*i+1), 0))
		}
		// One waits to be accepted; the first refusal is being written, and four wait.
		require.ErrorContains(t, s.Err(), "stream 13: 4 streams refused without taking note")
	})
}

// Of pings whose answers are not read 32 wait, beside those being written. Pings later on are answered.
func TestPingsThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, false)
		for range 1000 {
			r.send(frame(ping, syn, 0, 1))
		}
		require.EqualValues(t, 1000-1-32, s.Stats().UnansweredPings)
		go r.read()
		synctest.Wait()
		require.Equal(t, 33, strings.Count(r.answers(), "ping ACK 0 1"))
		r.send(frame(ping, syn, 0, 2))
		require.True(t, strings.HasSuffix(r.answers(), "ping ACK 0 2"))
	})
}

// Resets of streams that nobody has accepted are counted for 10 s: twice 1,000 are fine if they are that far apart.
func TestEarlyResetsAreCountedBySpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, true)
		id := uint32(1)
		flood := func(n int) {
			for range n {
				r.send(frame(window, syn, id, 0), frame(window, rst, id, 0))
				id += 2
			}
		}
		flood(1000)
		time.Sleep(10 * time.Second)
		flood(1000)
		require.NoError(t, s.Err())
		flood(1)
		require.ErrorContains(t, s.Err(), "1001 streams reset")
		require.Equal(t, "goaway 0 1", r.answers())
	})
}

// One byte in each frame does not cost a chunk of memory each.
func TestSmallFramesAreHeldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, true)
		r.send(frame(window, syn, 1, 0))
		st, err := s.AcceptStream(t.Context())
		require.NoError(t, err)
		var all []byte
		for i := range 5000 {
			r.Write(with(0, 1, string(rune('a'+i%26))))
			all = append(all, byte('a'+i%26))
		}
		synctest.Wait()
		require.EqualValues(t, 5000, s.Stats().UnreadBytes)
		got := make([]byte, 5000)
		_, err = io.ReadFull(st, got)
		require.NoError(t, err)
		require.Equal(t, all, got)
	})
}

// Streams with a byte each take some memory each, and not a slab.
func TestFewBytesTakeLittleMemory(t *testing.T) {
	client, server := pair(t, mux.Config{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		a, _ := open(t, client, server)
		a.Write([]byte("x"))
	}
	require.Eventually(t, func() bool { return server.Stats().UnreadBytes == 200 }, 10*time.Second, time.Millisecond)
	runtime.GC()
	runtime.ReadMemStats(&after)
	// A chunk of 512 bytes and two streams each; with chunks of 64 KiB it would be 13 MB.
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20))
}

// A connection that breaks is never taken for the good end of a stream, nor one that the peer closes without a word.
func TestABrokenConnectionIsNotTheEndOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, true)
		r.send(with(syn, 1, "half"), with(syn|fin, 3, "all"))
		half, _ := s.AcceptStream(t.Context())
		all, _ := s.AcceptStream(t.Context())
		synctest.Wait()
		r.Close()
		<-s.Done()
		got, err := io.ReadAll(all)
		require.NoError(t, err, "this one was complete")
		require.Equal(t, "all", string(got))
		got, err = io.ReadAll(half)
		require.Equal(t, "half", string(got))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = half.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = s.Accept()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// A window is given back when half of it was read, to the byte, and not before.
func TestWindowIsGivenBackByHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{Window: 1 << 20}, true)
		r.send(frame(window, syn, 1, 0))
		st, err := s.AcceptStream(t.Context())
		require.NoError(t, err)
		require.Equal(t, "window ACK 1 786432", r.answers(), "what is more than 256 KiB comes with the acknowledgement")
		for range 8 {
			r.send(frame(data, 0, 1, 64<<10, make([]byte, 64<<10)...))
		}
		_, err = io.ReadFull(st, make([]byte, 512<<10-1))
		require.NoError(t, err)
		require.Equal(t, "window ACK 1 786432", r.answers())
		_, err = io.ReadFull(st, make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, "window ACK 1 786432, window 1 524288", r.answers())
	})
}

// After CloseRead what comes is dropped and its window given back; after Close it is not, and the
// stream is reset a minute later, unless the peer ends it before.
func TestCloseReadAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{KeepAlive: -1}, true)
		r.send(frame(window, syn, 1, 0), frame(window, syn, 3, 0))
		a, err := s.AcceptStream(t.Context())
		require.NoError(t, err)
		b, err := s.AcceptStream(t.Context())
		require.NoError(t, err)
		a.CloseRead()
		for range 2 {
			r.send(frame(data, 0, 1, 64<<10, make([]byte, 64<<10)...), frame(data, 0, 3, 64<<10, make([]byte, 64<<10)...))
		}
		_, err = a.Write([]byte("still open"))
		require.NoError(t, err)
		require.Equal(t, "window ACK 1 0, window ACK 3 0, window 1 131072, data 1 10 still open", r.answers())

		a.Close()
		b.Close()
		r.send(with(fin, 1, "bye"), with(0, 3, "more"))
		require.True(t, strings.HasSuffix(r.answers(), "window FIN 1 0, window FIN 3 0"), r.answers())
		time.Sleep(time.Minute - 1)
		require.EqualValues(t, 1, s.Stats().Streams)
		time.Sleep(1)
		require.True(t, strings.HasSuffix(r.answers(), "window RST 3 0"), r.answers())
		require.Zero(t, s.Stats().Streams)
		require.Zero(t, s.Stats().UnreadBytes)
	})
}

// The last frame of a session that a violation ends goes before the connection does, for a second.
func TestLastWordsHaveASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, false) // it does not read
		began := time.Now()
		r.send(frame(9, 0, 0, 0))
		_, err := r.Write(frame(ping, syn, 0, 0))
		require.NoError(t, err, "it is still read, and ignored")
		<-s.Done()
		require.Equal(t, time.Second, time.Since(began))
	})
}

// A Write that the connection holds up ends at its deadline, and at the end of its stream, and the frame that it
// has begun is completed by others, so that the rest of the session is not harmed. Likewise a Read.
func TestCallsThatHaveTheConnectionCanBeInterrupted(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(st *mux.Stream)
		is   error
	}{
		{"by a deadline", func(st *mux.Stream) { st.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		{"by a deadline in the past", func(st *mux.Stream) { time.Sleep(time.Second); st.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"by Close", func(st *mux.Stream) { time.Sleep(time.Second); st.Close() }, net.ErrClosed},
		{"by Reset", func(st *mux.Stream) { time.Sleep(time.Second); st.Reset(0) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s := facing(t, mux.Config{KeepAlive: -1}, false)
				r.send(frame(window, syn, 1, 0), frame(window, syn, 3, 0))
				a, _ := s.AcceptStream(t.Context())
				b, _ := s.AcceptStream(t.Context())
				next := func() string {
					text, err := r.next()
					require.NoError(t, err)
					return text
				}
				require.Equal(t, "window ACK 1 0", next())
				require.Equal(t, "window ACK 3 0", next())
				// Of the frame for a Read only the header comes, and half of one is taken from a Write.
				began := time.Now()
				var calls sync.WaitGroup
				calls.Go(func() {
					n, err := io.ReadFull(a, make([]byte, 60_000))
					require.Zero(t, n)
					require.Error(t, err)
				})
				calls.Go(func() {
					n, err := a.Write(make([]byte, 100_000))
					require.Error(t, err)
					require.Equal(t, 65536, n, "the frame that was begun")
					if row.is != nil {
						require.ErrorIs(t, err, row.is)
					}
				})
				synctest.Wait()
				r.send(frame(data, 0, 1, 60_000))
				io.ReadFull(r, make([]byte, 30_000))
				row.end(a)
				calls.Wait()
				require.Equal(t, time.Second, time.Since(began))

				// The rest of both frames, and then another stream's.
				_, err := io.ReadFull(r, make([]byte, 65536+12-30_000))
				require.NoError(t, err)
				go r.read()
				r.send(make([]byte, 60_000), with(0, 3, "hello"))
				got := make([]byte, 5)
				_, err = io.ReadFull(b, got)
				require.NoError(t, err)
				require.Equal(t, "hello", string(got))
				b.Write([]byte("good evening"))
				require.Contains(t, r.answers(), "data 3 12 good evening")
				require.NoError(t, s.Err())
			})
		})
	}
}

// What is said of net.Pipe holds for TLS, whose connections cannot be interrupted.
func TestOverTLS(t *testing.T) {
	p, q := net.Pipe()
	cert := certificate(t)
	client := mux.Config{}.Client(tls.Client(p, &tls.Config{InsecureSkipVerify: true}))
	server := mux.Config{}.Server(tls.Server(q, &tls.Config{Certificates: []tls.Certificate{cert}}))
	defer server.Close()
	defer client.Close()
	a, b := open(t, client, server)
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		a.Write(want)
		a.CloseWrite()
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	c, d := open(t, client, server)
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = c.Write(make([]byte, 1<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = io.ReadFull(d, make([]byte, 256<<10))
	require.NoError(t, err, "the session goes on")
}

// When all numbers are used up a session takes no more streams, and a Client makes another.
func TestNumbersUsedUp(t *testing.T) {
	var mu sync.Mutex
	var served []*mux.Session
	c := &mux.Client{Addr: "server:80", DialContext: func(context.Context, string, string) (net.Conn, error) {
		p, q := net.Pipe()
		mu.Lock()
		defer mu.Unlock()
		served = append(served, mux.Config{}.Server(q))
		return p, nil
	}}
	st, err := c.Open(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, st.ID())
	c.Sessions()[0].SkipTo(1<<32 - 1)
	st, err = c.Open(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1<<32-1, st.ID(), "the last one")
	_, err = c.Sessions()[0].Open(t.Context())
	require.ErrorIs(t, err, mux.ErrExhausted)
	require.True(t, mux.Unprocessed(err))
	st, err = c.Open(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, st.ID(), "of another session")
	require.EqualValues(t, 2, c.Stats().Sessions)
	c.Close()
	_, err = c.Open(t.Context())
	require.ErrorIs(t, err, mux.ErrClosed)
	for _, s := range served {
		s.Close()
	}
}

// A client tries to connect until its caller gives up: after 1, 2, 4 s.
func TestClientTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		refused := errors.New("refused")
		c := &mux.Client{Addr: "server:80", Jitter: retry.NoJitter,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
			OnRetry:     func(_ error, d time.Duration) { delays = append(delays, d) },
		}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		_, err := c.Open(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, refused)
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, delays)
		require.EqualValues(t, 3, c.Stats().Failed)
		c.Close()
	})
}

// What a pool does with connections that failed, that nobody uses, and with those who wait.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var peers []net.Conn
		p := &mux.Pool{MaxConns: 2, MaxWaiting: 1, DialContext: func(context.Context) (net.Conn, error) {
			a, b := net.Pipe()
			peers = append(peers, b)
			return a, nil
		}}
		a, err := p.Get(t.Context())
		require.NoError(t, err)
		b, err := p.Get(t.Context())
		require.NoError(t, err)
		turn := make(chan *mux.PoolConn)
		go func() { c, _ := p.Get(t.Context()); turn <- c }()
		synctest.Wait()
		_, err = p.Get(t.Context())
		require.ErrorIs(t, err, mux.ErrPoolFull)

		a.SetReadDeadline(time.Now().Add(time.Second))
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		a.Release() // it failed: the one who waits gets another
		c := <-turn
		require.Len(t, peers, 3)
		require.EqualValues(t, 1, p.Stats().Broken)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = p.Get(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, p.Stats().Waiting)

		b.Release()
		b.Release() // once is enough
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed, "it is another's now")
		require.ErrorIs(t, b.SetDeadline(time.Time{}), net.ErrClosed)
		require.EqualValues(t, 1, p.Stats().Free)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Zero(t, p.Stats().Free, "after IdleTimeout")
		require.EqualValues(t, 1, p.Stats().Conns)

		go func() { c, err := p.Get(t.Context()); require.NoError(t, err); turn <- c }()
		d := <-turn
		go func() { _, err := p.Get(t.Context()); require.ErrorIs(t, err, mux.ErrClosed); turn <- nil }()
		synctest.Wait()
		p.Close()
		<-turn
		c.Close()
		d.Release()
		require.Zero(t, p.Stats().Conns)
	})
}

// Who has read the end of its caller's direction still hears that the caller goes.
func TestDone(t *testing.T) {
	over := func(st *mux.Stream) bool {
		select {
		case <-st.Done():
			return true
		default:
			return false
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name string
			ends func(a, b *mux.Stream, client *mux.Session)
			over bool
		}{
			{"nothing ends", func(a, b *mux.Stream, client *mux.Session) {}, false},
			{"the caller has said all", func(a, b *mux.Stream, client *mux.Session) { a.CloseWrite() }, false},
			{"the caller resets it", func(a, b *mux.Stream, client *mux.Session) { a.CloseWrite(); a.Reset(3) }, true},
			{"this side resets it", func(a, b *mux.Stream, client *mux.Session) { b.Reset(3) }, true},
			{"both have ended", func(a, b *mux.Stream, client *mux.Session) {
				a.CloseWrite()
				b.CloseWrite()
				_, err := io.ReadAll(b)
				require.NoError(t, err)
			}, true},
			{"the session ends", func(a, b *mux.Stream, client *mux.Session) { client.Close() }, true},
		} {
			for _, before := range []bool{true, false} { // whether somebody asks before it ends
				client, server := pair(t, mux.Config{})
				a, b := open(t, client, server)
				if before {
					require.False(t, over(b), row.name)
				}
				row.ends(a, b, client)
				synctest.Wait()
				require.Equal(t, row.over, over(b), "%s; asked before: %v", row.name, before)
				client.Close()
				server.Close()
			}
		}
	})
}
