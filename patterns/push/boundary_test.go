package push_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// hookedLog lets a test act between the reading of a page and its return.
type hookedLog struct {
	eventlog.Log
	read func(q eventlog.Query, page eventlog.Page)
}

func (l *hookedLog) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	page, err := l.Log.After(c, q)
	l.read(q, page)
	return page, err
}

// A session has read the log to its end and is about to turn to its queue. A
// message that is published in between is in neither.
func TestPublishBetweenTheLastPageAndTheQueueIsNotLost(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		count := 0
		w.log = &hookedLog{Log: w.log, read: func(q eventlog.Query, page eventlog.Page) {
			if q.Match != nil && len(page.Entries) == 0 && count < 3 {
				count++
				w.publish(mailbox, 0, fmt.Sprint(count))
			}
		}}
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new", "1", "2", "3")
		w.publish(mailbox, 0, "live")
		p.wants("live")
		p.off()
		p.idle()
		require.Zero(t, p.Stats().Duplicates)
	})
}

// A session reads an entry from the log before the server has routed it, and is
// live when that happens.
func TestEntryThatWasReadBeforeItWasRoutedIsNotSentTwice(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		gate := make(chan struct{})
		inner := w.log
		w.log = &hookedLog{Log: inner, read: func(q eventlog.Query, _ eventlog.Page) {
			if q.Match == nil {
				<-gate // reading may take a while
			}
		}}
		w.start()
		_, err := inner.Append(t.Context(), eventlog.Entry{Topic: mailbox, Data: []byte("once")})
		require.NoError(t, err)
		p := w.phone("phone")
		p.on()
		p.wants("reset new", "once")
		w.online("phone")
		close(gate)
		synctest.Wait()
		p.idle()
		p.off()
		require.Zero(t, p.Stats().Duplicates)
		require.EqualValues(t, 1, w.srv.Stats().Sent)
	})
}

// The session was reading from the log, and the log has dropped what comes next.
func TestSlowReaderThatIsOvertakenByTheLogIsReset(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window, w.opts.MaxQueue = 1, 2
		w.start()
		for i := range 10 {
			w.publish(mailbox, 0, fmt.Sprint(i))
		}
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		synctest.Wait() // two are in the backlog
		require.NoError(t, w.log.Compact(eventlog.Cursor{Epoch: 0xe1, Offset: 7}))
		for range 10 {
			gate <- struct{}{}
		}
		p.wants("0", "1", "reset compacted", "7", "8", "9")
		p.off()
		require.EqualValues(t, 1, w.srv.Stats().Slow)
	})
}

// Others append more at once than the log keeps, before the server has looked.
func TestRouterThatIsOvertakenByTheLogResetsItsClients(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 2})
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		var batch []eventlog.Entry
		for i := range 5 {
			batch = append(batch, eventlog.Entry{Topic: mailbox, Data: []byte(fmt.Sprint(i))})
		}
		_, err := w.log.Append(t.Context(), batch...)
		require.NoError(t, err)
		p.wants("reset compacted", "3", "4")
		w.online("phone")
		w.publish(mailbox, 0, "live again")
		p.wants("live again")
		p.off()
	})
}

// The publisher does not wait for a confirmation that cannot come any more.
func TestNowEndsWithTheConnection(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p, _ := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		time.AfterFunc(300*time.Millisecond, w.cut)
		start := time.Now()
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: mailbox, TTL: push.Now})
		require.ErrorIs(t, err, push.ErrNotDelivered)
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		p.off()
	})
}

// The publisher has given up after a second. The client is ready after two, and
// must not get it then.
func TestNowLastsAsLongAsItsPublisherWaits(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window = 1
		w.start()
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "busy with this")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := w.srv.Publish(ctx, push.Message{Topic: mailbox, TTL: push.Now, Data: []byte("given up")})
		require.ErrorIs(t, err, push.ErrNotDelivered)
		require.Equal(t, time.Second, time.Since(start))
		time.Sleep(time.Second)
		gate <- struct{}{}
		gate <- struct{}{}
		p.wants("busy with this")
		time.Sleep(time.Minute)
		p.idle()
		p.off()
	})
}

func TestRunEndsAtOnceWhileItWaitsForHello(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, err := websocket.Accept(w, r, nil); err == nil {
				conn.Read(context.Background())
				conn.CloseNow()
			}
		}))
		p := w.phone("phone")
		p.on()
		time.Sleep(time.Second)
		start := time.Now()
		require.ErrorIs(t, p.off(), context.Canceled)
		require.Zero(t, time.Since(start))

		var why error
		p.OnRetry = func(err error, _ time.Duration) { why = err }
		p.on()
		time.Sleep(10*time.Second + 1)
		p.off()
		require.ErrorContains(t, why, "nothing heard from the server for 10s", "DialTimeout")
	})
}

func TestDrainIncludesWhatOthersHaveAppended(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		_, err := w.log.Append(t.Context(), eventlog.Entry{Topic: mailbox, Data: []byte("just before")})
		require.NoError(t, err)
		require.NoError(t, w.srv.Drain(t.Context()))
		p.wants("just before")
		p.off()
	})
}

// While the client is busy with the first message, the second expires among
// those that the session has read from the log.
func TestMessageThatExpiresInTheBacklogIsNotSent(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window = 1
		w.start()
		w.publish(mailbox, 0, "one")
		w.publish(mailbox, 5*time.Second, "short")
		w.publish(mailbox, 0, "two")
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		time.Sleep(5 * time.Second)
		gate <- struct{}{}
		gate <- struct{}{}
		p.wants("one", "two")
		p.off()
		synctest.Wait()
		require.EqualValues(t, 2, w.srv.Stats().Sent)
		require.EqualValues(t, 1, w.srv.Stats().Expired)
	})
}

// What expired in the queue is counted there, and not again when its mailbox is
// looked at. The client never acknowledges.
func TestExpiryIsCountedOnce(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window = 1
		w.start()
		p, _ := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "busy with this")
		synctest.Wait()
		w.publish(mailbox, 5*time.Second, "short")
		time.Sleep(6 * time.Second)
		w.publish(mailbox, 0, "wakes the writer")
		synctest.Wait()
		require.EqualValues(t, 1, w.srv.Stats().Expired)
		p.off()
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, w.srv.Stats().Expired)
	})
}

// The client has it and does not say so. When it goes, nobody knows whether it had it.
func TestExpiryOfWhatWasNotAcknowledgedCountsWhenTheClientGoes(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		c := w.raw(t, "client=phone")
		text(t, c)
		w.online("phone")
		w.publish(mailbox, 5*time.Second, "short")
		_, _, err := receive(c)
		require.NoError(t, err)
		time.Sleep(6 * time.Second)
		require.Zero(t, w.srv.Stats().Expired)
		c.CloseNow()
		synctest.Wait()
		require.EqualValues(t, 1, w.srv.Stats().Expired)
	})
}

// What the log has dropped is lost for that, and its expiry counts no more.
func TestExpiryIsNotCountedForWhatTheLogHasDropped(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		w.publish(mailbox, 5*time.Second, "short")
		require.NoError(t, w.log.Compact(w.log.Head()))
		w.publish("news", 0, "the server looks at the log")
		time.Sleep(6 * time.Second)
		require.Zero(t, w.srv.Stats().Expired)
	})
}

// The client had it, and was cut off before it could say so. Its cursor says so
// when it is back.
func TestExpiryIsNotCountedForWhatTheCursorCovers(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.AckInterval = time.Hour
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 10*time.Second, "had")
		p.wants("had")
		p.off()
		p.on()
		time.Sleep(time.Second)
		p.off()
		time.Sleep(time.Minute)
		require.Zero(t, w.srv.Stats().Expired)
	})
}

// Two messages are on their way, and an acknowledgement of the first makes room for one more: by the
// window's count, and by its bytes with messages of 400 and a window of 1,000.
func TestWindowIsBounded(t *testing.T) {
	for name, o := range map[string]options{"count": {Window: 2}, "bytes": {WindowBytes: 1000}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.opts = o
				w.start()
				c := w.raw(t, "client=phone")
				text(t, c)
				w.online("phone")
				for range 5 {
					w.publish(mailbox, 0, strings.Repeat("x", 400))
				}
				synctest.Wait()
				require.EqualValues(t, 2, w.srv.Stats().Sent)
				require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ack","offset":1}`)))
				synctest.Wait()
				require.EqualValues(t, 3, w.srv.Stats().Sent)
			})
		})
	}
}

// The server repeats what the client has handled. The client does not.
func TestClientHandlesNothingTwice(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.log = stutterLog{w.log}
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "one")
		p.wants("one")
		p.off()
		w.publish(mailbox, 0, "two")
		p.on()
		p.wants("two")
		p.off()
		p.idle()
		require.Positive(t, p.Stats().Duplicates)
	})
}

// script is a server that says hello with the given fields, sends the frames, and
// then nothing.
func script(hello string, frames ...string) http.HandlerFunc {
	return speak(func(conn *websocket.Conn) {
		conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"hello","hello":{`+hello+`}}`))
		for _, f := range frames {
			conn.Write(context.Background(), websocket.MessageBinary, []byte(f))
		}
	})
}

const timing = `"ping_interval_us":1000000,"ping_timeout_us":1000000,"window":1,"window_bytes":1000`

// A server that continues elsewhere than it was asked, without a word, would
// leave a gap.
func TestClientRefusesASilentJump(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.serve(script(`"cursor":"e1-9",`+timing, "\x01\x0a\x00\x00after the gap"))
		p := w.phone("phone")
		p.From = eventlog.Cursor{Epoch: 0xe1, Offset: 5}
		var why error
		p.OnRetry = func(err error, _ time.Duration) { why = err }
		p.on()
		time.Sleep(time.Second)
		p.off()
		p.idle()
		require.ErrorContains(t, why, "asked to continue from e1-5, the server does from e1-9")
	})
}

// A client that has waited for its own handler to make room, for the last message too, hears of a silent server
// as late as any other: two seconds after there was room.
func TestSilenceAfterASlowHandler(t *testing.T) {
	for name, row := range map[string]struct{ messages, size int }{
		"as many as there is room for, and one at the handler": {67, 10},  // the window and 64
		"as large as there is room for":                        {13, 900}, // 904 bytes each, in 1,000 and twice 1,000 + 4,096
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				var frames []string
				for i := range row.messages {
					frames = append(frames, string([]byte{1, byte(1 + i), 0, 0})+strings.Repeat("x", row.size))
				}
				w.serve(script(`"cursor":"e1-0","reset":"new",`+timing, frames...))
				p, gate := w.gated("phone")
				p.MaxMessageBytes = 1000
				var at time.Time
				var why error
				p.OnRetry = func(err error, _ time.Duration) {
					if why == nil {
						at, why = time.Now(), err
					}
				}
				p.on()
				p.wants("reset new")
				time.Sleep(time.Minute)
				require.NoError(t, why)
				room := time.Now()
				for range row.messages {
					gate <- struct{}{}
				}
				time.Sleep(3 * time.Second)
				p.off()
				require.ErrorContains(t, why, "push: nothing heard from the server for 2s")
				require.Equal(t, 2*time.Second, at.Sub(room))
			})
		})
	}
}

func TestClientRefusesWhatIsNotTheProtocol(t *testing.T) {
	for _, row := range []struct{ hello, frame, want string }{
		{`"cursor":"e1-0","reset":"new"`, "", "ping_interval_us is 0: want 1 to 3600000000000"},
		{`"cursor":"what"`, "", "control message"},
		{`"cursor":"e1-0","reset":"new",` + timing, "\x09", "binary frame of kind 9"},
		{`"cursor":"e1-0","reset":"new",` + timing, "\x03\x00\x00\x00state", "not announced"},
		{`"cursor":"e1-0","reset":"new",` + timing, "\x01", "bad number"},
	} {
		t.Run(row.want, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.serve(script(row.hello, row.frame))
				p := w.phone("phone")
				var why error
				p.OnRetry = func(err error, _ time.Duration) { why = err }
				p.on()
				time.Sleep(time.Millisecond)
				p.off()
				require.ErrorContains(t, why, row.want)
			})
		})
	}
}

// The server ignores the window, and the client's inbox is full for longer than
// silence is allowed to last. It is the client that does not listen.
func TestFullInboxIsNotSilence(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		var frames []string
		for i := range 100 {
			frames = append(frames, "\x01"+string([]byte{byte(i + 1)})+"\x00\x00x")
		}
		w.serve(script(`"cursor":"e1-0","reset":"new",`+timing, frames...))
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		time.Sleep(time.Minute)
		for range frames {
			gate <- struct{}{}
		}
		synctest.Wait()
		require.EqualValues(t, 100, p.Stats().Events)
		require.EqualValues(t, 1, p.Stats().Connects)
		require.Zero(t, p.Stats().Silent)
		p.off()
	})
}

// A message takes ten seconds to arrive, and two of silence are too many. But
// there is no silence.
func TestLargeMessageOnASlowLinkIsNotSilence(t *testing.T) {
	inBubble(t, time.Second, func(t *testing.T, w *world) {
		w.net.buffer = 4 << 10 // per second
		data := strings.Repeat("x", 40<<10)
		w.serve(script(`"cursor":"e1-0","reset":"new",`+timing, "\x01\x01\x00\x00"+data))
		p := w.phone("phone")
		p.on()
		p.wants("reset new", data)
		p.off()
		require.EqualValues(t, 1, p.Stats().Connects)
	})
}

// Half the window in bytes is used up by each message: the acknowledgement does
// not wait, and so does not the next message.
func TestWindowInBytesIsReopenedAtOnce(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.WindowBytes = 1000
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		start := time.Now()
		data := strings.Repeat("x", 600)
		for range 5 {
			w.publish(mailbox, 0, data)
		}
		p.wants(data, data, data, data, data)
		require.Zero(t, time.Since(start))
		p.off()
	})
}
