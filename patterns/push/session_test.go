package push_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
)

// The client's host loses power right after a pong. The next ping is due an
// interval later, and nobody answers within the timeout.
func TestHalfOpenClientIsFoundWithinIntervalPlusTimeout(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = 30*time.Second, 7*time.Second
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		start := time.Now()
		time.Sleep(30*time.Second + 1) // the first ping was answered

		w.net.Stall()
		w.net.SetDown(true)
		time.Sleep(37*time.Second - 2)
		require.True(t, w.srv.Online("phone"), "nobody can know yet")
		require.Len(t, w.srv.Presence(), 1)
		time.Sleep(1)
		synctest.Wait()
		require.Equal(t, 67*time.Second, time.Since(start))
		require.False(t, w.srv.Online("phone"))
		require.Empty(t, w.srv.Presence())
		require.EqualValues(t, 1, w.srv.Stats().Silent)
		p.off()
	})
}

// The writer is stuck in a full buffer, and its deadline is far: the heartbeat
// has a goroutine and a clock of its own.
func TestHalfOpenClientIsFoundBehindAFullBuffer(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = 30*time.Second, 7*time.Second
		w.opts.WriteTimeout = time.Hour
		w.net.buffer = 4 << 10
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		start := w.srv.Presence()[0].Since
		w.net.Stall()
		w.net.SetDown(true)
		for range 10 {
			w.publish(mailbox, 0, strings.Repeat("x", 10<<10))
		}
		time.Sleep(time.Until(start.Add(37*time.Second - 1)))
		require.True(t, w.srv.Online("phone"))
		require.Positive(t, w.srv.Stats().Queued)
		time.Sleep(1)
		synctest.Wait()
		require.Equal(t, 37*time.Second, time.Since(start))
		require.False(t, w.srv.Online("phone"))
		require.EqualValues(t, 1, w.srv.Stats().Silent)
		p.off()
	})
}

func TestStuckWriteEndsAtItsOwnDeadline(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.WriteTimeout = 3 * time.Second
		w.net.buffer = 4 << 10
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.net.Stall()
		w.net.SetDown(true)
		w.publish(mailbox, 0, strings.Repeat("x", 10<<10))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.False(t, w.srv.Online("phone"))
		require.EqualValues(t, 1, w.srv.Stats().WriteTimeouts)
		p.off()
	})
}

// The server's process is frozen: its kernel answers, it does not. The client
// gives up when the interval and the timeout have passed since the last ping,
// and goes elsewhere.
func TestFrozenServerIsLeft(t *testing.T) {
	inBubble(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = 30*time.Second, 7*time.Second
		w.start()
		p := w.phone("phone")
		var retry error
		p.OnRetry = func(err error, _ time.Duration) { retry = err }
		p.on()
		p.wants("reset new")
		time.Sleep(30*time.Second + time.Millisecond)
		heard := time.Now().Add(-time.Millisecond) // the first ping came
		w.net.Stall()
		w.publish(mailbox, 0, "on the dead connection")

		p.wants("on the dead connection")

		// 37 s of silence; two transits to dial, one each for request and answer.
		require.Equal(t, 37*time.Second+40*time.Millisecond, time.Since(heard))
		p.off()
		require.ErrorContains(t, retry, "nothing heard from the server for 37s")
		require.EqualValues(t, 1, p.Stats().Silent)
	})
}

// A ping is on its way, and its pong will take another 25 ms. The event does not
// wait for it.
func TestPingNeverDelaysAnEvent(t *testing.T) {
	inBubble(t, 25*time.Millisecond, func(t *testing.T, w *world) {
		w.opts.PingInterval = time.Second
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		began := w.srv.Presence()[0].Since
		for k := 1; k <= 20; k++ {
			time.Sleep(time.Until(began.Add(time.Duration(k)*time.Second + time.Duration(k)*time.Millisecond)))
			start := time.Now()
			w.publish(mailbox, time.Hour, fmt.Sprint(k))
			p.wants(fmt.Sprint(k))
			require.Equal(t, 25*time.Millisecond, time.Since(start), "%d ms after a ping", k)
		}
		require.EqualValues(t, 20, p.Stats().Pings)
		p.off()
	})
}

// The handler is busy for a minute, with more events waiting than the window
// holds. Pings are answered meanwhile: busy is not dead.
func TestBusyHandlerIsNotTakenForDead(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window, w.opts.PingInterval, w.opts.PingTimeout = 4, 5*time.Second, time.Second
		w.start()
		p := w.phone("phone")
		handle := p.OnEvent
		p.OnEvent = func(ctx context.Context, e push.Event) error {
			time.Sleep(time.Minute)
			return handle(ctx, e)
		}
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 10 {
			w.publish(mailbox, 0, fmt.Sprint(i))
		}
		synctest.Wait()
		require.Equal(t, 6, w.srv.Presence()[0].Queued, "all but the window wait here")
		for i := range 10 {
			time.Sleep(time.Minute)
			p.wants(fmt.Sprint(i))
		}
		p.off()
		require.EqualValues(t, 1, p.Stats().Connects)
		require.Zero(t, w.srv.Stats().Silent)
	})
}

// Its pongs are stuck, but it acknowledges all the while: slow is not dead. Once
// it falls silent it is gone.
func TestAnyMessageIsASignOfLife(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = 5*time.Second, time.Second
		w.start()
		c := w.raw(t, "client=phone")
		text(t, c) // and reads no more, so that it answers no ping
		for range 40 {
			time.Sleep(500*time.Millisecond + 1)
			require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ack"}`)))
		}
		require.True(t, w.srv.Online("phone"), "after 20 s")
		time.Sleep(6 * time.Second)
		require.False(t, w.srv.Online("phone"), "after the ping at 25 s")
		require.EqualValues(t, 1, w.srv.Stats().Silent)
	})
}

func TestNewConnectionFencesTheOld(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		first, second := w.phone("phone"), w.phone("phone")
		first.on()
		first.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "one")
		first.wants("one")

		second.on()
		second.wants("reset new", "one")
		w.online("phone")
		w.publish(mailbox, 0, "two")
		second.wants("two")
		require.ErrorIs(t, first.ended(), push.ErrFenced)
		first.idle()
		require.EqualValues(t, 1, w.srv.Stats().Fenced)
		require.Len(t, w.srv.Presence(), 1)
		second.off()
	})
}

// The client gave a connection up and made another; then the first arrives.
func TestLateHandshakeOfTheSameRunFencesNobody(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		current := w.raw(t, "client=phone&run=r&attempt=2")
		text(t, current)
		_, resp, err := websocket.Dial(t.Context(), w.url+"?client=phone&run=r&attempt=1", &websocket.DialOptions{HTTPClient: w.http})
		require.Error(t, err)
		require.Equal(t, http.StatusConflict, resp.StatusCode)
		require.EqualValues(t, 1, w.srv.Stats().Stale)
		require.True(t, w.srv.Online("phone"))

		other := w.raw(t, "client=phone&run=s&attempt=1") // another process may
		text(t, other)
		_, _, err = receive(current)
		require.Equal(t, push.StatusFenced, websocket.CloseStatus(err))
	})
}

// Who was out of reach when it was fenced does not win the id back from whom it has gone to, nor from
// the next one.
func TestFencedRunStaysOut(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		answers := func(run string) *websocket.Conn {
			conn := w.raw(t, "client=phone&run="+run+"&attempt=1")
			text(t, conn) // the hello; to read it is to answer the ping before it
			return conn
		}
		answers("first")
		answers("second")
		third := answers("third")
		for _, run := range []string{"first", "second"} {
			late := w.raw(t, "client=phone&run="+run+"&attempt=2")
			_, _, err := receive(late)
			require.Equal(t, push.StatusFenced, websocket.CloseStatus(err), run)
		}
		w.publish(mailbox, 0, "one")
		_, _, err := receive(third)
		require.NoError(t, err)
		require.EqualValues(t, 4, w.srv.Stats().Fenced)

		third.CloseNow()
		require.Eventually(t, func() bool { return !w.srv.Online("phone") }, 10*time.Second, time.Millisecond)
		answers("first")
	})
}

// A process connects and dies; the next connects; only then does the server, which was
// frozen, come to read what the first one sent.
func TestHandshakeOfADeadProcessFencesNobody(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = time.Minute, 200*time.Millisecond
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")

		dead := w.raw(t, "client=phone&run=before&attempt=1") // it never reads, so it sends no pong
		defer dead.CloseNow()
		require.Eventually(t, func() bool { return w.srv.Stats().Silent == 1 }, 10*time.Second, time.Millisecond)
		require.True(t, w.srv.Online("phone"))
		w.publish(mailbox, 0, "one")
		p.wants("one")
		require.Zero(t, w.srv.Stats().Fenced)
		p.off()
	})
}

// Nor does one that sent a message and a pong before it died: nobody had asked it yet.
func TestLastWordsOfADeadProcessFenceNobody(t *testing.T) {
	inBubble(t, time.Millisecond, func(t *testing.T, w *world) {
		w.opts.PingInterval, w.opts.PingTimeout = time.Minute, time.Second
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")

		dead, err := w.net.DialContext(t.Context(), "tcp", "server")
		require.NoError(t, err)
		defer dead.Close()
		ack := `{"type":"ack"}`
		fmt.Fprintf(dead, "GET /push?client=phone&run=before&attempt=1 HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+
			"\x8a\x82\x00\x00\x00\x0010") // a pong
		time.Sleep(100 * time.Millisecond)
		fmt.Fprintf(dead, "\x81%s\x00\x00\x00\x00%s", []byte{0x80 | byte(len(ack))}, ack) // still on the path when it died
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, w.srv.Stats().Silent)
		require.Zero(t, w.srv.Stats().Fenced)
		w.publish(mailbox, 0, "one")
		p.wants("one")
		p.off()
	})
}

func TestDrainDeliversEverythingAndSaysGoodbye(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.opts.Window = 4
		w.start()
		p := w.phone("phone")
		ends := make(chan error, 1000)
		p.OnRetry = func(err error, _ time.Duration) { ends <- err }
		p.Backoff = retry.Backoff{Min: 20 * time.Millisecond, Base: 20 * time.Millisecond, RetryAfterMax: 20 * time.Millisecond}
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 50 {
			w.publish(mailbox, 0, fmt.Sprint(i))
		}

		require.NoError(t, w.srv.Drain(t.Context()))

		for i := range 50 {
			p.wants(fmt.Sprint(i))
		}
		require.Equal(t, websocket.StatusServiceRestart, websocket.CloseStatus(<-ends))
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: mailbox, TTL: time.Hour})
		require.ErrorIs(t, err, push.ErrDraining)
		require.EqualValues(t, 1, w.srv.Stats().Drained)
		require.EqualValues(t, 50, w.log.Head().Offset, "the refused message is not in the log")
		var refused error
		for refused = range ends {
			if !strings.Contains(refused.Error(), "1012") && websocket.CloseStatus(refused) == -1 {
				break
			}
		}
		require.ErrorContains(t, refused, "503")

		w.stop()
		w.start() // the next instance, on the same log
		w.publish(mailbox, 0, "after the restart")
		p.wants("after the restart")
		p.off()
		require.EqualValues(t, 1, w.srv.Stats().Recovered)
	})
}

// A client that neither reads nor answers cannot hold up a drain beyond its
// context.
func TestDrainCutsOffWhoDoesNotListen(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		text(t, w.raw(t, "client=phone"))
		w.online("phone")
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.ErrorIs(t, w.srv.Drain(ctx), context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

// One message is larger than the client takes. It closes with 1009, and the
// messages around it survive.
func TestOversizedMessageIsSkippedAndSaid(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.MaxMessageBytes = 1000
		p.on()
		p.wants("reset new")
		w.online("phone")
		fits := strings.Repeat("f", 1000)
		for _, size := range []int{1001, 60_000} {
			w.publish(mailbox, 0, "before")
			w.publish(mailbox, 0, strings.Repeat("x", size))
			w.publish(mailbox, 0, fits)
			p.wants("before", "gap 1 oversized=true", fits)
		}
		p.off()
		w.eventually("both closed with 1009", func() bool { return w.srv.Stats().TooBig == 2 })
		require.EqualValues(t, 2, p.Stats().Oversized)
		require.EqualValues(t, 1, p.Stats().Resets)

		_, err := w.srv.Publish(t.Context(), push.Message{Topic: mailbox, TTL: time.Hour, Data: make([]byte, 64<<10+1)})
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
	})
}

func TestClientThatSendsTooMuchIsClosedWith1009(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		c := w.raw(t, "client=phone")
		text(t, c)
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, make([]byte, 8<<10)))
		_, _, err := receive(c)
		require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
		w.eventually("counted", func() bool { return w.srv.Stats().TooBig == 1 })
	})
}

// A client may not acknowledge what it was not sent, nor speak in tongues.
func TestImpossibleClientMessagesEndTheSession(t *testing.T) {
	for _, msg := range []string{`{"type":"ack","offset":9}`, `{"type":"hello"}`, `{"type":"what"}`, `{`} {
		t.Run(msg, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.start()
				c := w.raw(t, "client=phone")
				text(t, c)
				require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(msg)))
				_, _, err := receive(c)
				require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
			})
		})
	}
}

// Many publishers and a heartbeat write to one connection at once. Every frame
// arrives whole.
func TestConcurrentWritersDoNotMixFrames(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.opts.PingInterval = time.Millisecond
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		var all sync.WaitGroup
		for k := range 8 {
			all.Go(func() {
				for range 50 {
					w.publish(mailbox, 0, strings.Repeat(string(rune('a'+k)), 100*(k+1)))
				}
			})
		}
		for range 400 {
			got := p.next()
			require.Equal(t, strings.Repeat(got[:1], 100*int(got[0]-'a'+1)), got)
		}
		all.Wait()
		p.off()
	})
}

// Everybody comes back at once, and no store is asked: a token is verified by
// itself. It ends with its session.
func TestTokensAreVerifiedLocallyAndExpire(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		tokens := access.Tokens{Keys: [][]byte{[]byte("a key of 32 bytes, more or less.")}}
		w.opts.Authenticate = tokens.Authenticate
		w.opts.PingInterval = 10 * time.Second
		w.start()
		p := w.phone("phone")
		signed := 0
		p.Header = func(context.Context) (http.Header, error) {
			signed++
			token, err := tokens.Sign(access.Identity{Client: "phone", Topics: []string{"news"}, Expires: time.Now().Add(15 * time.Second)})
			return http.Header{"Authorization": {"Bearer " + token}}, err
		}
		p.on()
		p.wants("reset new")
		time.Sleep(20 * time.Second) // the first ping after the expiry
		synctest.Wait()
		require.EqualValues(t, 1, w.srv.Stats().Unauthorized)
		w.online("phone")
		w.publish("news", 0, "still here")
		p.wants("news:still here")
		require.Equal(t, 2, signed)
		p.off()

		p.Header = nil
		p.on()
		var refused *retry.StatusError
		require.ErrorAs(t, p.ended(), &refused)
		require.Equal(t, http.StatusUnauthorized, refused.Status)
		require.EqualValues(t, 1, w.srv.Stats().Refused)
	})
}

// Credentials that cannot be had at the moment may be had later; a refusal is final.
func TestHeaderFails(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		errs := []error{errors.New("no token"), &retry.StatusError{Status: 503}, nil}
		p.Header = func(ctx context.Context) (http.Header, error) {
			err := errs[0]
			errs = errs[1:]
			return nil, err
		}
		retries := make(chan error, 1000)
		p.OnRetry = func(err error, _ time.Duration) { retries <- err }
		p.on()
		p.wants("reset new")
		require.EqualError(t, <-retries, "push: Client.Header: no token")
		require.ErrorContains(t, <-retries, "503")
		p.off()

		errs = []error{&retry.StatusError{Status: 401}}
		p.on()
		require.EqualError(t, p.ended(), "push: Client.Header: server answered 401 Unauthorized")

		p.Header = func(ctx context.Context) (http.Header, error) {
			<-ctx.Done() // with DialTimeout
			return nil, ctx.Err()
		}
		p.on()
		require.ErrorContains(t, <-retries, "push: Client.Header: context deadline exceeded")
		p.off()
	})
}

// 300 clients lose their server at the same instant. They return evenly over the
// spread that it told them, and each within it.
func TestHerdReturnsSpreadOut(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		const n, spread = 300, 20 * time.Second
		w.opts.RetrySpread = spread
		w.start()
		phones := make([]*phone, n)
		for i := range phones {
			phones[i] = w.phone(fmt.Sprint("phone ", i))
			phones[i].Jitter = nil
			phones[i].on()
		}
		time.Sleep(time.Second)
		require.EqualValues(t, n, w.srv.Stats().Sessions)

		w.cut()
		var perSecond [20]float64
		last := int64(0)
		for i := range perSecond {
			time.Sleep(time.Second)
			synctest.Wait()
			now := w.srv.Stats().Sessions
			perSecond[i], last = float64(now-last), now
		}

		require.EqualValues(t, n, last, "all are back within the spread")
		require.EqualValues(t, 2*n, w.srv.Stats().Accepted, "with one attempt each")
		// 15 a second on average; binomial, so 6 standard deviations are 23.
		for i, k := range perSecond {
			require.LessOrEqual(t, math.Abs(k-15), 23.0, "second %d", i)
		}
		for _, p := range phones {
			p.off()
		}
	})
}

func TestTooManyClientsAreToldWhenToComeBack(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.MaxClients, w.opts.RetrySpread = 1, 8*time.Second
		w.start()
		first, second := w.phone("first"), w.phone("second")
		first.on()
		first.wants("reset new")
		second.Jitter = retry.NoJitter
		var delay time.Duration
		second.OnRetry = func(_ error, d time.Duration) { delay = d }
		start := time.Now()
		second.on()
		synctest.Wait()
		require.Equal(t, 8*time.Second, delay, "Retry-After, and no jitter")
		first.off()
		second.wants("reset new")
		require.Equal(t, 8*time.Second, time.Since(start))
		second.off()
	})
}

// An identity that lists a topic twice, or its own mailbox, gets each message once, and a
// publisher who waits for it waits for one confirmation.
func TestTopicNamedTwiceIsOneTopic(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Authenticate = withTopics("news", mailbox, "news")
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		for _, topic := range []string{"news", mailbox} {
			start := time.Now()
			r, err := w.srv.Publish(t.Context(), push.Message{Topic: topic, TTL: push.Now, Data: []byte("now")})
			require.NoError(t, err)
			require.Equal(t, push.Receipt{Online: 1, Delivered: 1}, r)
			require.Zero(t, time.Since(start))
		}
		p.wants("news:now", "now")
		p.off()
		p.idle()
	})
}
