package push_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// Every number of a hello has a bound, and the error says which one was passed. The client
// goes on trying: the next server may be a better one.
func TestNumbersOfAHelloAreBounded(t *testing.T) {
	good := map[string]string{
		"cursor": `"e1-0"`, "reset": `"new"`, "now_us": "1000000", "ping_interval_us": "1000000",
		"ping_timeout_us": "1000000", "window": "1", "window_bytes": "1000", "spread_us": "0", "expired": "0", "version": "1",
	}
	for _, row := range []struct{ field, value, want string }{
		{"window", "0", "window is 0: want 1 to 65536"},
		{"window", "-1", "window is -1: want 1 to 65536"},
		{"window", "65537", "window is 65537: want 1 to 65536"},
		{"window", "9223372036854775807", "window is 9223372036854775807: want 1 to 65536"},
		{"window", "9223372036854775808", "cannot unmarshal number"},
		{"window_bytes", "0", "window_bytes is 0: want 1 to 67108864"},
		{"window_bytes", "9223372036854775807", "window_bytes is 9223372036854775807: want 1 to 67108864"},
		{"ping_interval_us", "0", "ping_interval_us is 0: want 1 to 3600000000000"},
		{"ping_interval_us", "9223372036854775807", "ping_interval_us is 9223372036854775807: want 1 to"},
		{"ping_timeout_us", "-1", "ping_timeout_us is -1: want 1 to 3600000000000"},
		{"ping_timeout_us", "9223372036854775", "ping_timeout_us is 9223372036854775: want 1 to"},
		{"spread_us", "-1", "spread_us is -1: want 0 to 3600000000000"},
		{"spread_us", "9223372036854775807", "spread_us is 9223372036854775807: want 0 to"},
		{"now_us", "18446744073709551615", "now_us is 9223372036854775807: want 0 to 253402300799999999"},
		{"expired", "9223372036854775807", "expired is 9223372036854775807: want 0 to 9007199254740992"},
		{"expired", "-1", "expired is -1: want 0 to"},
		{"version", "2", "the server speaks version 2 of the protocol: want at most 1"},
		{"version", "-1", "the server speaks version -1 of the protocol"},
		{"reset", `"because"`, `reset is "because": want no reset, "new", "wrong-epoch", "compacted" or "future"`},
		{"cursor", `"e1-18446744073709551616"`, "cursor"},
	} {
		t.Run(row.field+"="+row.value, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				var fields []string
				for name, value := range good {
					if name == row.field {
						value = row.value
					}
					fields = append(fields, fmt.Sprintf("%q:%s", name, value))
				}
				w.serve(script(strings.Join(fields, ",")))
				p := w.phone("phone")
				var why error
				p.OnRetry = func(err error, _ time.Duration) { why = err }
				p.on()
				time.Sleep(time.Millisecond)
				p.off()
				p.idle()
				require.ErrorContains(t, why, row.want)
			})
		})
	}
}

// The largest of what a server can be set up with is understood.
func TestLargestHelloIsUnderstood(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window, w.opts.WindowBytes = 1<<16, 64<<20
		w.opts.PingInterval, w.opts.PingTimeout, w.opts.RetrySpread = 1000*time.Hour, 1000*time.Hour, 500*time.Hour
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "mail")
		p.wants("mail")
		p.off()
		require.EqualValues(t, 1, p.Stats().Dials)
	})
}

func TestNumbersOfAFrameAreBounded(t *testing.T) {
	number := func(v uint64) string { return string(binary.AppendUvarint(nil, v)) }
	for _, row := range []struct{ name, frame, want string }{
		{"expires", "\x01\x01" + number(math.MaxUint64) + "\x00data", "expires at 18446744073709551615 us, want at most 253402300799999999"},
		{"topic beyond the frame", "\x01\x01\x00" + number(math.MaxUint64) + "data", "topic of 18446744073709551615 bytes"},
		{"topic", "\x01\x01\x00" + number(1025) + strings.Repeat("t", 1025), "topic of 1025 bytes, want at most 1024"},
		{"varint without an end", "\x01" + strings.Repeat("\xff", 20), "bad number"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.serve(script(`"cursor":"e1-0","reset":"new",`+timing, row.frame))
				p := w.phone("phone")
				var why error
				p.OnRetry = func(err error, _ time.Duration) { why = err }
				p.on()
				p.wants("reset new")
				time.Sleep(time.Millisecond)
				p.off()
				p.idle()
				require.ErrorContains(t, why, row.want)
			})
		})
	}
}

func TestSkippedOfAGapIsBounded(t *testing.T) {
	for _, skipped := range []string{"0", "9007199254740993"} {
		inBubble(t, 0, func(t *testing.T, w *world) {
			w.serve(speak(func(c *websocket.Conn) {
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"hello","hello":{"cursor":"e1-0","reset":"new",`+timing+`}}`))
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"gap","offset":5,"skipped":`+skipped+`}`))
			}))
			p := w.phone("phone")
			var why error
			p.OnRetry = func(err error, _ time.Duration) { why = err }
			p.on()
			p.wants("reset new")
			time.Sleep(time.Millisecond)
			p.off()
			p.idle()
			require.ErrorContains(t, why, "push: gap: skipped is "+skipped+": want 1 to 9007199254740992")
		})
	}
}

// speak is a server that says what talk says, and then nothing.
func speak(talk func(*websocket.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		talk(conn)
		for err == nil {
			_, _, err = conn.Read(context.Background())
		}
	}
}

// A server ignores the window that it announced, and the handler is busy. What the client
// holds is bounded in bytes: what it has not read waits in the network.
func TestServerThatIgnoresItsWindowFillsNoMemory(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		var written atomic.Int64
		data := strings.Repeat("x", 8<<10)
		w.serve(speak(func(c *websocket.Conn) {
			c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"hello","hello":{"cursor":"e1-0","reset":"new",`+
				`"ping_interval_us":1000000,"ping_timeout_us":1000000,"window":65536,"window_bytes":20000}}`))
			for i := range 1000 {
				frame := string(binary.AppendUvarint([]byte{1}, uint64(i+1))) + "\x00\x00" + data
				if c.Write(context.Background(), websocket.MessageBinary, []byte(frame)) != nil {
					return
				}
				written.Add(int64(len(frame)))
			}
		}))
		p, gate := w.gated("phone")
		p.MaxMessageBytes = 10 << 10
		p.on()
		p.wants("reset new")
		time.Sleep(time.Minute)
		// The window and two messages of the largest size with their headers in the client, one
		// that waits for room, and 64 KiB in the network.
		most := 20_000 + 2*(14<<10) + 14<<10 + 64<<10 + 8<<10
		require.LessOrEqual(t, written.Load(), int64(most))
		for range 1000 {
			gate <- struct{}{}
		}
		for range 1000 {
			p.wants(data)
		}
		require.EqualValues(t, 1, p.Stats().Connects, "it is the client that does not listen")
		p.off()
	})
}

// A server and a client from before there was a version, as they were: what they say is
// understood. What says that it is from after this version is refused by its number.
func TestVersionsOfTheProtocol(t *testing.T) {
	t.Run("a server from before", func(t *testing.T) {
		inBubble(t, 0, func(t *testing.T, w *world) {
			w.serve(speak(func(c *websocket.Conn) {
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"hello","hello":{"cursor":"e1-0","reset":"new",`+
					`"now_us":946684800000000,"ping_interval_us":25000000,"ping_timeout_us":10000000,"window":256,"window_bytes":262144}}`))
				c.Write(context.Background(), websocket.MessageBinary, []byte("\x01\x01\x00\x04newsdata"))
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"gap","offset":3,"skipped":2}`))
				c.Write(context.Background(), websocket.MessageText, []byte(`{"type":"position","offset":9}`))
			}))
			p := w.phone("phone")
			p.on()
			p.wants("reset new", "news:data", "gap 2 oversized=false")
			synctest.Wait()
			require.EqualValues(t, 9, p.Cursor().Offset)
			p.off()
		})
	})
	t.Run("a client from before", func(t *testing.T) {
		inBubble(t, 0, func(t *testing.T, w *world) {
			w.start()
			w.publish(mailbox, 0, "one")
			c := w.raw(t, "client=phone&cursor=e1-0&run=r&attempt=1")
			require.NotContains(t, text(t, c), "reset")
			_, b, err := receive(c)
			require.NoError(t, err)
			require.Equal(t, "\x01\x01\x00\x00one", string(b))
			require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ack","offset":1}`)))
			synctest.Wait()
			require.EqualValues(t, 1, w.srv.Stats().Acked)
		})
	})
	t.Run("a client from after", func(t *testing.T) {
		inBubble(t, 0, func(t *testing.T, w *world) {
			w.start()
			for version, status := range map[string]int{"2": 400, "-1": 400, "x": 400, "1": 101, "0": 101} {
				conn, resp, _ := websocket.Dial(t.Context(), w.url+"?client=phone&version="+version, &websocket.DialOptions{HTTPClient: w.http})
				require.Equal(t, status, resp.StatusCode, version)
				if conn != nil {
					conn.CloseNow()
					continue
				}
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("push: version is %q: want at most 1\n", version), string(text))
			}
		})
	})
}
