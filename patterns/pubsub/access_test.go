package pubsub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/retry"
)

// guarded has the broker let in who has a token, with what the tokens grant.
func (w *world) guarded(tokens map[string]access.Identity) {
	w.stop()
	w.broker = func() *pubsub.Broker {
		return &pubsub.Broker{Authenticate: func(_ context.Context, h pubsub.Hello) (access.Identity, error) {
			if id, known := tokens[h.Token]; known {
				return id, nil
			}
			return access.Identity{}, fmt.Errorf("%w: of %s at %s", access.ErrUnauthorized, h.Client, h.Remote)
		}}
	}
	w.start()
}

func (w *world) withToken(id, token string) *pubsub.Client {
	c := w.client(id)
	c.Token = func(context.Context) (string, error) { return token, nil }
	return c
}

// status is that of the refusal that an error is.
func status(t *testing.T, err error) int {
	t.Helper()
	var s *retry.StatusError
	require.ErrorAs(t, err, &s)
	return s.Status
}

func TestClientsDoWhatTheyMay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.guarded(map[string]access.Identity{
			"all":    access.Everything(""),
			"reader": {Client: "reader", Topics: []string{"news.>"}},
			"writer": {Client: "writer", Publish: []string{"news.eu"}},
			"worker": {Topics: []string{"news.*"}, Publish: []string{"dead"}},
		})
		admin := w.withToken("admin", "all")
		w.subscribe(admin, pubsub.SubscribeOptions{Filter: "secret", Name: "secrets"})

		reader := w.withToken("reader", "reader")
		s := w.subscribe(reader, pubsub.SubscribeOptions{Filter: "news.*"})
		for _, filter := range []string{">", "*.eu", "secret"} {
			_, err := reader.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: filter})
			require.Equal(t, http.StatusForbidden, status(t, err), filter)
		}
		_, err := reader.Publish(t.Context(), pubsub.Message{Topic: "news.eu"})
		require.Equal(t, http.StatusForbidden, status(t, err))
		require.Equal(t, http.StatusForbidden, status(t, reader.Delete(t.Context(), "secrets")))

		writer := w.withToken("writer", "writer")
		_, err = writer.Publish(t.Context(), pubsub.Message{Topic: "news.eu", Data: []byte("x")})
		require.NoError(t, err)
		_, err = writer.Publish(t.Context(), pubsub.Message{Topic: "news.us"})
		require.Equal(t, http.StatusForbidden, status(t, err))
		_, err = writer.Publish(t.Context(), pubsub.Message{Topic: "news.eu", Data: []byte("y")})
		require.NoError(t, err)
		s.acks("x", "y")
		s.idle(sec)
		require.EqualValues(t, 2, w.log.Head().Offset)

		// Dead letters are publications.
		worker := w.withToken("worker", "worker")
		_, err = worker.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "news.eu", MaxAttempts: 1, DeadLetter: "secret"})
		require.Equal(t, http.StatusForbidden, status(t, err))
		w.subscribe(worker, pubsub.SubscribeOptions{Filter: "news.eu", MaxAttempts: 1, DeadLetter: "dead"})
		w.subscribe(worker, pubsub.SubscribeOptions{Filter: "news.eu", MaxAttempts: 1, Name: "n"})

		_, exists := w.b.Subscription("secrets")
		require.True(t, exists)
		for _, c := range w.clients {
			require.EqualValues(t, 1, c.Stats().Connects)
		}
	})
}

// Who is refused for good is told so, and does not ask again.
func TestStrangersAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.guarded(map[string]access.Identity{"reader": {Client: "reader", Topics: []string{">"}}, "bad": {Topics: []string{"a.>.b"}}})
		for want, c := range map[int]*pubsub.Client{
			http.StatusUnauthorized: w.withToken("reader", "guess"),
			http.StatusForbidden:    w.withToken("somebody else", "reader"),
		} {
			retries := 0
			c.OnRetry = func(error, time.Duration) { retries++ }
			_, err := c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t"})
			require.Equal(t, want, status(t, err))
			_, err = c.Publish(t.Context(), pubsub.Message{Topic: "t"})
			require.Equal(t, want, status(t, err), "for ever")
			require.Zero(t, retries)
		}
		_, err := w.withToken("x", "bad").Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.Equal(t, "pubsub: publish: pubsub: server answered 401 Unauthorized: Unauthorized", err.Error(), "a fault of the broker is not told")
		require.Zero(t, w.b.Stats().Sessions)
	})
}

// Whoever decides may not know at the moment, and so may the function that has the token.
func TestClientsAskAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		asked := 0
		w.stop()
		w.broker = func() *pubsub.Broker {
			return &pubsub.Broker{Authenticate: func(context.Context, pubsub.Hello) (access.Identity, error) {
				switch asked++; asked {
				case 1:
					return access.Identity{}, &retry.StatusError{Status: http.StatusServiceUnavailable, Text: "in a minute"}
				case 2:
					panic("a fault of its own")
				}
				return access.Everything(""), nil
			}}
		}
		w.start()
		c := w.client("c")
		tokens := 0
		c.Token = func(context.Context) (string, error) {
			if tokens++; tokens == 1 {
				return "", errors.New("no token yet")
			}
			return "t", nil
		}
		var told []string
		c.OnRetry = func(err error, delay time.Duration) {
			require.Equal(t, 100*ms, delay, "the test's Jitter has the shortest")
			told = append(told, err.Error())
		}
		w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		require.Equal(t, []string{
			"pubsub: Client.Token: no token yet",
			"pubsub: server answered 503 Service Unavailable: in a minute",
			"pubsub: server answered 500 Internal Server Error",
		}, told)
	})
}

// Credentials that expire end the connection. With new ones the client goes on where it
// was, as far as they go.
func TestCredentialsExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := access.Everything("c")
		first.Expires = time.Now().Add(time.Minute)
		w.guarded(map[string]access.Identity{"first": first, "second": {Topics: []string{"news"}}})
		c := w.client("c")
		tokens := []string{"first", "second"}
		c.Token = func(context.Context) (token string, err error) {
			token, tokens = tokens[0], tokens[1:]
			return token, nil
		}
		news := w.subscribe(c, pubsub.SubscribeOptions{Filter: "news"})
		all := w.subscribe(c, pubsub.SubscribeOptions{Filter: ">"})
		time.Sleep(time.Minute - sec)
		require.EqualValues(t, 1, c.Stats().Connects)
		w.publish("news", "x")
		d := news.next("x", 1)
		all.acks("x")
		time.Sleep(5 * sec)
		require.EqualValues(t, 2, c.Stats().Connects)
		require.NoError(t, d.AckSync(t.Context()))
		w.publish("news", "y")
		news.acks("y")
		_, err := all.Next(t.Context())
		require.Equal(t, http.StatusForbidden, status(t, err))
		require.EqualValues(t, 1, w.b.Stats().Subscriptions)
	})
}

// A client that does not read what it is sent, the goodbye included, does nothing either once
// its credentials have expired.
func TestExpiredClientThatDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker {
			return &pubsub.Broker{Authenticate: func(context.Context, pubsub.Hello) (access.Identity, error) {
				id := access.Everything("c")
				id.Expires = time.Now().Add(20 * sec)
				return id, nil
			}}
		}
		var full atomic.Bool
		room := make(chan struct{})
		listen := w.listen
		w.listen = func() net.Listener { return &clogging{listen(), &full, room} }
		w.start()
		conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		defer conn.Close()
		defer close(room)
		publish := []byte{0, 0, 0, 8, 'p', 1, 1, 't', 0, 0, 0, 0}
		_, err = conn.Write(append(rawControl(`{"type":"hello","version":3,"client":"c","run":"r","attempt":1}`), publish...))
		require.NoError(t, err)
		time.Sleep(19 * sec)
		require.EqualValues(t, 1, w.log.Head().Offset)
		full.Store(true)
		time.Sleep(2 * sec)
		_, err = conn.Write(publish)
		require.NoError(t, err)
		time.Sleep(sec)
		require.EqualValues(t, 1, w.log.Head().Offset)
	})
}

// clogging is a listener whose connections have no room for what is written while full, until
// there is room.
type clogging struct {
	net.Listener
	full *atomic.Bool
	room chan struct{}
}

func (l *clogging) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &clogged{c, l}, err
}

type clogged struct {
	net.Conn
	of *clogging
}

func (c *clogged) Write(b []byte) (int, error) {
	if c.of.full.Load() {
		<-c.of.room
	}
	return c.Conn.Write(b)
}

// A client that comes back gets what it had only if it still may: what it asks for is what
// is looked at, and what it gets.
func TestReturnUnderAnotherFilter(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.guarded(map[string]access.Identity{"all": access.Everything("c"), "news": {Client: "c", Topics: []string{"news"}}})
		connect := func(token string, attempt int, keep string) net.Conn {
			conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
			require.NoError(t, err)
			_, err = conn.Write(rawControl(fmt.Sprintf(`{"type":"hello","version":3,"client":"c","run":"r","token":%q,"attempt":%d,"keep":[%s]}`, token, attempt, keep)))
			require.NoError(t, err)
			require.Contains(t, nextFrame(t, conn), "welcome")
			return conn
		}
		first := connect("all", 1, "")
		_, err := first.Write(rawControl(`{"type":"subscribe","sub":1,"options":{"filter":"secret"}}`))
		require.NoError(t, err)
		var subscribed struct {
			Generation uint64 `json:"generation"`
		}
		require.NoError(t, json.Unmarshal([]byte(nextFrame(t, first)[1:]), &subscribed))
		first.Close()

		second := connect("news", 2, "1")
		defer second.Close()
		_, err = second.Write(rawControl(fmt.Sprintf(`{"type":"subscribe","sub":1,"options":{"filter":"news"},"resume":{"generation":%d}}`, subscribed.Generation)))
		require.NoError(t, err)
		require.Contains(t, nextFrame(t, second), `SubscribeOptions.Filter is news: want secret`)
		require.Zero(t, w.b.Stats().Subscriptions)
	})
}

// A connection that was refused is forgotten at once, and not when its token expires.
func TestRefusedConnectionsAreForgotten(t *testing.T) {
	onTCP(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker {
			return &pubsub.Broker{MaxClients: 1, Authenticate: func(_ context.Context, h pubsub.Hello) (access.Identity, error) {
				id := access.Everything(h.Client)
				id.Expires = time.Now().Add(time.Hour)
				return id, nil
			}}
		}
		var alive atomic.Int64
		listen := w.listen
		w.listen = func() net.Listener { return &counted{listen(), &alive} }
		w.start()
		w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t"})
		for range 20 {
			conn, err := net.Dial("tcp", w.addr)
			require.NoError(t, err)
			_, err = conn.Write(rawControl(`{"type":"hello","version":3,"client":"d","run":"r","attempt":1}`))
			require.NoError(t, err)
			require.Contains(t, nextFrame(t, conn), "too many clients")
			conn.Close()
		}
		require.Eventually(t, func() bool {
			runtime.GC()
			return alive.Load() <= 3 // the client's own, and what a stack may still hold
		}, 10*sec, 10*ms)
	})
}

// counted is a listener that counts the connections which are in memory.
type counted struct {
	net.Listener
	alive *atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &struct{ net.Conn }{c}
	l.alive.Add(1)
	runtime.AddCleanup(one, func(alive *atomic.Int64) { alive.Add(-1) }, l.alive)
	return one, nil
}

// Drain loses no confirmation, and sends everybody away to the broker that comes next.
func TestDrain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c, p := w.client("c"), w.client("p")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		published, stop := make(chan int), make(chan bool)
		go func() {
			n := 0
			defer func() { published <- n }()
			for ; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				_, err := p.Publish(t.Context(), pubsub.Message{Topic: "t", Data: fmt.Append(nil, n)})
				require.NoError(t, err)
			}
		}()
		time.Sleep(10 * sec)
		began := time.Now()
		require.NoError(t, w.b.Drain(t.Context()))
		require.LessOrEqual(t, time.Since(began), 2*delay)
		_, err := w.b.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, pubsub.ErrDraining)
		w.stop()
		w.start()
		time.Sleep(10 * sec)
		close(stop)
		n := <-published
		require.Greater(t, n, 500)
		for i := range n {
			s.next(fmt.Sprint(i), 1).Ack()
		}
		s.idle(time.Minute)
		require.Equal(t, uint64(n), w.log.Head().Offset, "each is stored once")
		require.EqualValues(t, 2, p.Stats().Connects)
	})

	// Who does not go is cut off when the context ends.
	inBubble(t, func(t *testing.T, w *world) {
		listener := w.listen()
		b := &pubsub.Broker{}
		serving := make(chan error)
		go func() { serving <- b.Serve(listener) }()
		w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Drain(ctx), context.Canceled)
		require.ErrorIs(t, <-serving, pubsub.ErrDraining)
		_, err := b.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, pubsub.ErrDraining)
		require.NoError(t, b.Close())
		_, err = b.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, pubsub.ErrClosed)
		require.NoError(t, b.Drain(t.Context()))
		require.ErrorIs(t, b.Serve(w.listen()), pubsub.ErrClosed, "closed stays closed")

		unused := &pubsub.Broker{}
		require.NoError(t, unused.Drain(t.Context()))
		_, err = unused.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, pubsub.ErrDraining)
		require.NoError(t, unused.Close())
		require.NoError(t, unused.Drain(t.Context()))
		_, err = unused.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, pubsub.ErrClosed)
		require.ErrorIs(t, unused.Serve(w.listen()), pubsub.ErrClosed)
	})
}

// What ends a client or loses something is in the log.
func TestLogs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
			Level: slog.LevelWarn,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		logs := func(want string) {
			t.Helper()
			time.Sleep(sec)
			synctest.Wait()
			require.Equal(t, want, out.String())
			out.Reset()
		}
		w.stop()
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 1})
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{Logger: logger, MaxClients: 2} }
		w.start()
		first := w.client("a")
		first.Logger = logger
		w.subscribe(first, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		second := w.client("a")
		w.subscribe(second, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		logs("level=WARN msg=\"a client is fenced by another of its ID\" client=a\n" +
			"level=WARN msg=\"the client ends\" client=a error=\"pubsub: fenced, somebody else has taken over\"\n")

		w.net.mutes("a", true)
		_, err := w.log.Append(t.Context(), eventlog.Entry{Topic: "t"}, eventlog.Entry{Topic: "t"}) // the broker never sees one without the other
		require.NoError(t, err)
		time.Sleep(time.Minute)
		logs("level=WARN msg=\"a subscription passes over messages\" subscription=n topic=t reason=compacted\n" +
			"level=WARN msg=\"a client is silent for too long\" client=a\n")
		w.net.mutes("a", false)
		second.Close()

		third := w.client("b")
		third.Logger = logger
		s := w.subscribe(third, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		s.gap()
		logs("level=WARN msg=\"messages may be missing\" client=b topic=t reason=compacted cursor=e1-1\n")
		w.client("c").Publish(t.Context(), pubsub.Message{Topic: "t"})
		ctx, cancel := context.WithTimeout(t.Context(), sec/2)
		defer cancel()
		_, err = w.client("e").Publish(ctx, pubsub.Message{Topic: "t"})
		require.Error(t, err)
		synctest.Wait()
		require.Regexp(t, `level=WARN msg="a client is refused" client=e remote=10\.0\.0\.\d:\d+ error="too many clients"`, out.String())
	})
}
