package pubsub_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/retry"
)

// A message whose letter would not pass the limits of a message gets one all the same, or is
// counted, and what comes after it flows.
func TestLettersThatDoNotFit(t *testing.T) {
	headers := map[string]string{}
	for i := range 255 {
		headers[fmt.Sprint("h", i)] = "v"
	}
	long := strings.Repeat("n", 250)
	for _, row := range []struct {
		name    string
		m       pubsub.Message
		o       pubsub.SubscribeOptions
		log     eventlog.Options // of the log while letters are written
		max     int              // MaxMessageBytes, likewise
		headers int              // of the letter; 0: there is none
	}{
		{name: "255 headers", m: pubsub.Message{Headers: headers}, headers: 259},
		{name: "a name of 250 bytes", o: pubsub.SubscribeOptions{Name: long}, headers: 4},
		{name: "as large as may be", m: pubsub.Message{Data: make([]byte, 64<<10-2), Headers: map[string]string{"a": "b"}}, headers: 5},
		{name: "larger than may be by now", m: pubsub.Message{Data: make([]byte, 5000)}, max: 100, headers: 4},
		{name: "the log takes no headers", m: pubsub.Message{Headers: map[string]string{"a": strings.Repeat("v", 900)}},
			log: eventlog.Options{MaxBytes: 1000}, headers: 4},
		{name: "the log takes nothing", m: pubsub.Message{Data: make([]byte, 900)}, log: eventlog.Options{MaxBytes: 1000}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				small := &smallLog{Log: w.log}
				w.log = small
				restart := func() { w.stop(); w.start() }
				restart()
				row.m.Topic = "t"
				row.o.Filter, row.o.MaxAttempts, row.o.DeadLetter, row.o.AckWait = "t", 1, "dead", 5*sec
				if row.o.Name == "" {
					row.o.Name = "n"
				}
				c := w.client("c")
				s := w.subscribe(c, row.o)
				dead := w.subscribe(c, pubsub.SubscribeOptions{Filter: "dead", Name: "undertaker"})
				_, err := c.Publish(t.Context(), row.m)
				require.NoError(t, err)
				s.next(string(row.m.Data), 1)
				small.max = row.log.MaxBytes
				w.broker = func() *pubsub.Broker { return &pubsub.Broker{MaxMessageBytes: row.max} }
				restart()
				s.next(string(row.m.Data), 1)
				w.publish("t", "after")
				s.next("after", 1).Ack()
				stats, _ := w.b.Subscription(row.o.Name)
				if row.headers == 0 {
					dead.idle(time.Minute)
					stats, _ = w.b.Subscription(row.o.Name)
					require.EqualValues(t, 1, stats.LettersLost)
					require.Zero(t, stats.DeadLetters)
				} else {
					d := dead.next(string(row.m.Data), 1)
					require.Len(t, d.Headers, row.headers)
					require.Equal(t, row.o.Name, d.Headers[pubsub.HeaderDeadSubscription])
					require.LessOrEqual(t, len(d.ID), 255)
					d.Ack()
				}
				time.Sleep(time.Minute)
				stats, _ = w.b.Subscription(row.o.Name)
				require.Zero(t, stats.Pending)
			})
		})
	}
}

// smallLog refuses entries of more than max bytes, as a log does that was opened again with
// a smaller bound.
type smallLog struct {
	eventlog.Log
	max int
}

func (l *smallLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	for _, e := range entries {
		if l.max > 0 && len(e.Topic)+len(e.Data) > l.max {
			return eventlog.Cursor{}, fmt.Errorf("append: %w", eventlog.ErrTooLarge)
		}
	}
	return l.Log.Append(ctx, entries...)
}

// A log that takes no dead letters for a while stops no delivery.
func TestLettersWaitForTheLog(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		log := &failingLog{Log: w.log}
		w.stop()
		w.log = log
		w.start()
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n", MaxAttempts: 1, MaxInFlight: 1})
		dead := w.subscribe(c, pubsub.SubscribeOptions{Filter: "dead-letters.n"})
		w.publish("t", "poison", "good")
		log.fails.Store(true)
		s.next("poison", 1).Nack(0)
		s.next("good", 1).Ack()
		time.Sleep(time.Minute)
		log.fails.Store(false)
		began := time.Now()
		dead.next("poison", 1).Ack()
		require.LessOrEqual(t, time.Since(began), sec+delay)
	})
}

// What failed is for the broker's log, and not for its clients.
func TestFailuresOfTheLogAreNotForClients(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var out bytes.Buffer
		log := &failingLog{Log: w.log}
		w.stop()
		w.log = log
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{Logger: slog.New(slog.NewTextHandler(&out, nil))} }
		w.start()
		c := w.client("c")
		log.fails.Store(true)
		_, err := c.Publish(t.Context(), pubsub.Message{Topic: "t"})
		var refused *retry.StatusError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, retry.StatusError{Status: http.StatusInternalServerError, Text: "the log failed"}, *refused)
		require.Contains(t, out.String(), `level=ERROR msg="what a client asked for failed" client=c error="pubsub: publish: short write"`)

		w.store.Close()
		_, err = c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "the log failed", refused.Text)
		_, err = w.b.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorIs(t, err, io.ErrShortWrite, "the broker's owner may know")
	})
}

// failingLog fails to append while it is told to.
type failingLog struct {
	eventlog.Log
	fails atomic.Bool
}

func (l *failingLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	if l.fails.Load() {
		return eventlog.Cursor{}, io.ErrShortWrite
	}
	return l.Log.Append(ctx, entries...)
}

// A connection that does not come to the point is closed after HandshakeTimeout, however
// much it says, and so is one that was refused.
func TestHandshakeHasOneDeadline(t *testing.T) {
	hello := rawControl(`{"type":"hello","version":3,"client":"a","run":"r","attempt":1}`)
	for name, opening := range map[string]string{
		"a long hello": "\x00\x00\x10\x00c",
		"no hello":     string(rawControl(`{"type":"subscribe"}`)),
		"refused":      string(rawControl(`{"type":"hello","client":"a","run":"r","attempt":1}`)),
		"sent away":    string(hello) + "\x00\x00\x00\x01?",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.stop()
				w.broker = func() *pubsub.Broker { return &pubsub.Broker{HandshakeTimeout: 7 * sec} }
				w.start()
				w.subscribe(w.client("first"), pubsub.SubscribeOptions{Filter: "t"})
				conn, err := w.dial("a")(t.Context(), "tcp", w.addr)
				require.NoError(t, err)
				began := time.Now()
				ended := make(chan time.Time, 1)
				go func() {
					io.Copy(io.Discard, conn)
					ended <- time.Now()
				}()
				_, err = io.WriteString(conn, opening)
				require.NoError(t, err)
				for i := 0; err == nil && i < 1000; i++ {
					_, err = conn.Write([]byte{0})
					time.Sleep(sec / 2)
				}
				require.LessOrEqual(t, (<-ended).Sub(began), 7*sec+2*delay)
				conn.Close()
				time.Sleep(sec)
				stats := w.b.Stats()
				require.EqualValues(t, 1, stats.Connections)
				require.Zero(t, stats.Handshakes)
			})
		})
	}

	// One that was welcomed stays.
	inBubble(t, func(t *testing.T, w *world) {
		conn, err := w.dial("a")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		defer conn.Close()
		for _, b := range hello { // slow, but in time
			_, err = conn.Write([]byte{b})
			require.NoError(t, err)
			time.Sleep(100 * ms)
		}
		time.Sleep(20 * sec)
		stats := w.b.Stats()
		require.Equal(t, []int64{1, 1, 0}, []int64{stats.Clients, stats.Connections, stats.Handshakes})
	})
}

// Too many handshakes cost the oldest their connection, and those who are known nothing.
func TestHandshakesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{MaxHandshakes: 3} }
		w.start()
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		for range 20 {
			conn, err := w.dial("silent")(t.Context(), "tcp", w.addr)
			require.NoError(t, err)
			defer conn.Close()
			time.Sleep(2 * delay) // until the broker has it
		}
		stats := w.b.Stats()
		require.Equal(t, []int64{4, 3}, []int64{stats.Connections, stats.Handshakes})
		require.EqualValues(t, 17, stats.Crowded)
		w.subscribe(w.client("d"), pubsub.SubscribeOptions{Filter: "t"})
		w.publish("t", "x")
		s.acks("x")
		require.EqualValues(t, 1, c.Stats().Connects)
	})
}

// A durable subscription that nobody uses is deleted, and restarts of the broker do not make
// it young again.
func TestIdleSubscriptionsExpire(t *testing.T) {
	const day = 24 * time.Hour
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{SessionTimeout: 24 * time.Hour} } // few pings
		w.start()
		names := func() (all []string) {
			for _, i := range w.b.Subscriptions() {
				all = append(all, i.Options.Name)
			}
			return all
		}
		for i, after := range []time.Duration{0, 5 * day, -1} {
			c := w.clientOnly(fmt.Sprint("c", i))
			w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: fmt.Sprint("n", i), ExpireAfter: after})
			time.Sleep(sec)
			c.Close()
		}
		used := w.subscribe(w.client("c3"), pubsub.SubscribeOptions{Filter: "t", Name: "n3", ExpireAfter: day, AckWait: 365 * day}) // y is delivered once
		w.publish("t", "x", "y")
		used.next("x", 1).Ack()
		time.Sleep(sec)

		left := time.Now()
		info := w.b.Subscriptions()
		require.Equal(t, []string{"n0", "n1", "n2", "n3"}, names())
		require.Equal(t, []any{int64(2), uint64(0), int64(0)}, []any{info[0].Lag, info[0].Cursor.Offset, info[0].Members})
		require.Equal(t, []any{int64(1), uint64(1), int64(1)}, []any{info[3].Lag, info[3].Cursor.Offset, info[3].Members})
		require.WithinDuration(t, left, info[0].IdleSince, 5*sec)
		require.Zero(t, info[3].IdleSince)
		require.Equal(t, 30*day, info[0].Options.ExpireAfter)

		for range 4 {
			time.Sleep(29 * time.Hour)
			w.stop()
			w.start()
		}
		require.Equal(t, []string{"n0", "n1", "n2", "n3"}, names(), "after 4.8 days")
		time.Sleep(5 * time.Hour)
		require.Equal(t, []string{"n0", "n2", "n3"}, names())
		require.EqualValues(t, 1, w.b.Stats().ExpiredSubscriptions)
		w.stop()
		w.start()
		time.Sleep(26 * day)
		require.Equal(t, []string{"n2", "n3"}, names(), "that of a client that is there stays")
		require.EqualValues(t, 1, w.b.Stats().ExpiredSubscriptions, "n0, and not n1 again")

		// Who comes after that begins anew.
		s := w.subscribe(w.client("c1"), pubsub.SubscribeOptions{Filter: "t", Name: "n1"})
		s.acks("x", "y")
	})
}

func TestSubscriptionsOfAClientAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{MaxSubscriptions: 2} }
		w.start()
		c := w.client("c")
		w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		_, err := c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t"})
		require.ErrorContains(t, err, "2 subscriptions")
		require.NoError(t, s.Unsubscribe(t.Context()))
		w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
	})
}

// A client that comes back with much in its hands says so in a frame that is larger than
// any message may be, and keeps it.
func TestReturnWithMuchInHand(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{MaxMessageBytes: 10} }
		w.start()
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", MaxInFlight: 2000, MaxPending: 3000, AckWait: time.Hour})
		for i := range 2000 {
			w.publish("t", fmt.Sprint(i))
		}
		for i := range 2000 {
			s.next(fmt.Sprint(i), 1)
		}
		w.net.cut("c")
		time.Sleep(10 * sec)
		require.EqualValues(t, 2, c.Stats().Connects)
		s.idle(time.Minute)
	})
}

// store1 is a store that was written in its format 1.
func store1(t *testing.T) (path string) {
	packed, err := os.Open("testdata/store-v1.gz")
	require.NoError(t, err)
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestStoreOfTheFormatBeforeIsRead(t *testing.T) {
	path := store1(t)
	for range 2 { // as it was, and as it was written again
		store, err := pubsub.OpenStore(path)
		require.NoError(t, err)
		b := &pubsub.Broker{Log: eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}), Store: store}
		info := b.Subscriptions()
		require.Len(t, info, 2)
		require.Equal(t, pubsub.SubscribeOptions{
			Filter: "orders.>", Name: "billing", Reset: pubsub.ResetLatest, AckWait: 20 * sec, MaxAttempts: 5, DeadLetter: "dead.billing",
			MaxInFlight: 7, MaxInFlightBytes: 9000, Slow: pubsub.DropOldest, MaxPending: 99, ExpireAfter: 30 * 24 * time.Hour,
		}, info[0].Options)
		require.Equal(t, eventlog.Cursor{Epoch: 0xe1, Offset: 3}, info[0].Cursor)
		require.EqualValues(t, 2, info[0].Pending)
		require.Equal(t, pubsub.SubscribeOptions{
			Filter: "t", Name: "n", AtMostOnce: true, AckWait: 30 * sec,
			MaxInFlight: 256, MaxInFlightBytes: 128 << 10, MaxPending: 1024, ExpireAfter: 30 * 24 * time.Hour,
		}, info[1].Options)
		require.EqualValues(t, 5, info[1].Cursor.Offset)
		require.NoError(t, b.Close())
		require.NoError(t, store.Close())
	}
}

// The numbers of that format had no bounds. A subscription beyond those of today keeps no
// broker from starting.
func TestStoreOfTheFormatBeforeIsReadWithItsNumbers(t *testing.T) {
	path := store1(t)
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("options")).Put([]byte("n"), []byte(`{"Filter":"t","Name":"n","AckWait":9000000000000000000,"MaxAttempts":9000000000000000000,
			"MaxInFlight":9000000000000000000,"MaxInFlightBytes":9000000000000000000,"MaxPending":9000000000000000000}`))
	}))
	require.NoError(t, db.Close())
	store, err := pubsub.OpenStore(path)
	require.NoError(t, err)
	defer store.Close()
	b := &pubsub.Broker{Store: store}
	defer b.Close()
	info := b.Subscriptions()
	require.Len(t, info, 2)
	require.Equal(t, pubsub.SubscribeOptions{
		Filter: "t", Name: "n", AckWait: 365 * 24 * time.Hour, MaxAttempts: 1_000_000, DeadLetter: "dead-letters.n",
		MaxInFlight: 10_000, MaxInFlightBytes: 1 << 30, MaxPending: 1_000_000, ExpireAfter: 30 * 24 * time.Hour,
	}, info[1].Options)
}

func TestStoreOfAnUnknownFormatIsRefused(t *testing.T) {
	for _, row := range []struct{ bucket, value, want string }{
		{"options", `{"v":9,"filter":"t"}`, `subscription "n": its options are of format 9, want 1 or 2`},
		{"options", `{"v":2,"filter":"t","slow":"sideways"}`, `subscription "n": pubsub: SubscribeOptions.Slow is "sideways"`},
		{"state", "\x09", `subscription "n": its state 09 is of no format from 1 to 2`},
		{"state", "\x02\x00", `subscription "n": pubsub: a frame ends too early`},
	} {
		path := store1(t)
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(row.bucket)).Put([]byte("n"), []byte(row.value))
		}))
		require.NoError(t, db.Close())
		store, err := pubsub.OpenStore(path)
		require.NoError(t, err)
		b := &pubsub.Broker{Store: store}
		_, err = b.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.ErrorContains(t, err, row.want)
		require.NoError(t, b.Close())
		require.NoError(t, store.Close())
	}

	log := filepath.Join(t.TempDir(), "log")
	disk, err := eventlog.OpenDisk(log, eventlog.Options{})
	require.NoError(t, err)
	require.NoError(t, disk.Close())
	_, err = pubsub.OpenStore(log)
	require.ErrorContains(t, err, log+": it is not a store of subscriptions")
}

// bbolt panics where a page is damaged.
func TestADamagedStoreIsAnErrorThatNamesIt(t *testing.T) {
	path := store1(t)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	noticed := 0
	for page := 0; page+4096 <= len(raw); page += 4096 {
		damaged := bytes.Clone(raw)
		clear(damaged[page : page+4096])
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		store, err := pubsub.OpenStore(path)
		if err == nil {
			b := &pubsub.Broker{Store: store}
			_, err = b.Publish(t.Context(), pubsub.Message{Topic: "t"})
			require.NoError(t, b.Close())
			require.NoError(t, store.Close())
		}
		if err != nil {
			require.ErrorContains(t, err, path)
			noticed++
		}
	}
	require.GreaterOrEqual(t, noticed, 2, "the root and the list of free pages; the others are free, or one of two meta pages")
}

// What a client of another version says is refused by name.
func TestClientOfAnotherVersionIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for hello, want := range map[string]string{
			`{"type":"hello","client":"c","run":"r","attempt":1}`:             "the client speaks version 1 of the protocol, and the broker version 3",
			`{"type":"hello","version":4,"client":"c","run":"r","attempt":1}`: "the client speaks version 4 of the protocol, and the broker version 3",
		} {
			conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
			require.NoError(t, err)
			_, err = conn.Write(rawControl(hello))
			require.NoError(t, err)
			require.Equal(t, `c{"type":"goodbye","error":"`+want+`"}`, nextFrame(t, conn))
			conn.Close()
		}
		require.Zero(t, w.b.Stats().Sessions)
	})
}

// The frames that a client begins with, byte by byte: another version of them is another
// protocol.
func TestFirstFrames(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		l := w.listen()
		defer l.Close()
		run := strconv.FormatInt(time.Now().UnixNano(), 36)
		c := w.clientOnly("c")
		defer c.Close()
		go c.Subscribe(t.Context(), pubsub.SubscribeOptions{
			Filter: "t", Name: "n", From: eventlog.Cursor{Epoch: 0xe1, Offset: 3}, Reset: pubsub.ResetLatest,
			MaxAttempts: 3, Slow: pubsub.Disconnect,
		})
		conn, err := l.Accept()
		require.NoError(t, err)
		defer conn.Close()
		require.Equal(t, `c{"type":"hello","version":3,"client":"c","run":"`+run+`","attempt":1}`, nextFrame(t, conn))
		_, err = conn.Write(rawControl(`{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":65536}`))
		require.NoError(t, err)
		require.Equal(t, `c{"type":"subscribe","sub":1,"options":{"filter":"t","name":"n","from":"e1-3","reset":"latest",`+
			`"ack_wait_ns":30000000000,"max_attempts":3,"dead_letter":"dead-letters.n","max_in_flight":256,"max_in_flight_bytes":131072,`+
			`"slow":"disconnect","max_pending":1024,"expire_after_ns":2592000000000000}}`, nextFrame(t, conn))
	})
}

// nextFrame reads a frame: its kind and body.
func nextFrame(t *testing.T, conn net.Conn) string {
	t.Helper()
	var head [4]byte
	_, err := io.ReadFull(conn, head[:])
	require.NoError(t, err)
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(conn, body)
	require.NoError(t, err)
	return string(body)
}

// Numbers that a client cannot mean end its connection, and nothing else.
func TestNumbersOfAClientAreBounded(t *testing.T) {
	settle := func(attempt, verb, pause uint64) []byte {
		b := []byte{'a', 1, 0, 0, 1}
		for _, n := range []uint64{attempt, verb, pause} {
			b = binary.AppendUvarint(b, n)
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	inBubble(t, func(t *testing.T, w *world) {
		for name, frame := range map[string][]byte{
			"attempt":        settle(1<<40, 0, 0),
			"verb":           settle(1, 3, 0),
			"pause":          settle(1, 1, 1<<62),
			"negative pause": settle(1, 1, 1<<63),
			"length":         {0xff, 0xff, 0xff, 0xff, 'p'},
			"headers":        append([]byte{0, 0, 0, 12, 'p', 1, 1, 't', 0, 0, 0}, binary.AppendUvarint(nil, 1<<32)...),
		} {
			conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
			require.NoError(t, err)
			_, err = conn.Write(append(rawControl(`{"type":"hello","version":3,"client":"`+name+`","run":"r","attempt":1}`), frame...))
			require.NoError(t, err)
			require.Contains(t, nextFrame(t, conn), "welcome")
			conn.SetReadDeadline(time.Now().Add(5 * sec))
			all, err := io.ReadAll(conn)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
			require.Contains(t, string(all), "goodbye", name)
			conn.Close()
		}
		for name, o := range map[string]string{
			"AckWait": `"ack_wait_ns":9000000000000000000`, "MaxAttempts": `"max_attempts":1000001`,
			"MaxInFlight": `"max_in_flight":10001`, "MaxInFlightBytes": `"max_in_flight_bytes":1073741825`,
			"MaxPending": `"max_pending":1000001`, "ExpireAfter": `"expire_after_ns":9000000000000000000`,
			"Reset": `"reset":"never"`, "Slow": `"slow":"never"`,
		} {
			conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
			require.NoError(t, err)
			_, err = conn.Write(append(rawControl(`{"type":"hello","version":3,"client":"`+name+`","run":"r","attempt":1}`),
				rawControl(`{"type":"subscribe","sub":1,"options":{"filter":"t",`+o+`}}`)...))
			require.NoError(t, err)
			require.Contains(t, nextFrame(t, conn), "welcome")
			require.Contains(t, nextFrame(t, conn), "SubscribeOptions."+name+" is")
			conn.Close()
		}
	})
}

// Nor can a broker: the client gives up the connection, and tries again.
func TestNumbersOfABrokerAreBounded(t *testing.T) {
	const welcome = `{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":65536}`
	deliver := func(attempt uint64) []byte {
		b := binary.AppendUvarint([]byte{'d', 1, 1, 1, 0}, attempt)
		b = append(b, 0, 1, 't', 0, 0, 0)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	for name, answer := range map[string][]byte{
		"version":        rawControl(`{"type":"welcome","version":4,"session_timeout_ns":30000000000,"max_message_bytes":65536}`),
		"no version":     rawControl(`{"type":"welcome","session_timeout_ns":30000000000,"max_message_bytes":65536}`),
		"SessionTimeout": rawControl(`{"type":"welcome","version":3,"session_timeout_ns":9000000000000000000,"max_message_bytes":65536}`),
		"no timeout":     rawControl(`{"type":"welcome","version":3,"max_message_bytes":65536}`),
		"MaxMessage":     rawControl(`{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":68719476736}`),
		"no message":     rawControl(`{"type":"welcome","version":3,"session_timeout_ns":30000000000}`),
		"attempt":        append(rawControl(welcome), deliver(1<<40)...),
		"length":         append(rawControl(welcome), 0xff, 0xff, 0xff, 0xff, 'd'),
		"missing less":   append(rawControl(welcome), 0, 0, 0, 7, 'g', 1, 1, 9, 0, 1, 1, 0, 0, 0, 7, 'g', 1, 2, 3, 0, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.stop()
				l := w.listen()
				defer l.Close()
				c := w.clientOnly("c")
				defer c.Close()
				subscribing := make(chan bool)
				go func() {
					defer close(subscribing)
					c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t"})
				}()
				defer func() { c.Close(); <-subscribing }()
				for range 2 {
					conn, err := l.Accept()
					require.NoError(t, err)
					_, err = conn.Write(answer)
					require.NoError(t, err)
					conn.SetReadDeadline(time.Now().Add(5 * sec))
					_, err = io.Copy(io.Discard, conn)
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
					conn.Close()
				}
			})
		})
	}
}

// A broker that sends more than it was asked for does not fill the client's memory.
func TestABrokerThatIgnoresTheWindow(t *testing.T) {
	const welcome = `{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":65536}`
	frame := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	deliver := func(size int) func(uint64) []byte {
		return func(offset uint64) []byte {
			b := binary.AppendUvarint([]byte{'d', 1, 1}, offset)
			b = append(b, 0, 1, 0, 1, 't', 0, 0, 0)
			return frame(append(b, make([]byte, size)...)...)
		}
	}
	gap := func(number uint64) []byte {
		return frame(append(binary.AppendUvarint([]byte{'g', 1}, number), 0, 1, 'x', 1, 1)...)
	}
	for name, row := range map[string]struct {
		frame func(uint64) []byte
		fits  int
		o     pubsub.SubscribeOptions
	}{
		"messages":     {deliver(0), 20, pubsub.SubscribeOptions{MaxInFlight: 10}},
		"bytes":        {deliver(1000), 21, pubsub.SubscribeOptions{MaxInFlightBytes: 10_000}}, // one message always fits
		"at most once": {deliver(0), 20, pubsub.SubscribeOptions{MaxInFlight: 10, AtMostOnce: true}},
		"gaps":         {gap, 20, pubsub.SubscribeOptions{MaxInFlight: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.stop()
				l := w.listen()
				defer l.Close()
				failures := make(chan error, 9)
				c := w.client("c")
				c.OnRetry = func(err error, _ time.Duration) { failures <- err }
				row.o.Filter = "t"
				subscribed := make(chan *pubsub.Subscription, 1)
				go func() {
					s, _ := c.Subscribe(t.Context(), row.o)
					subscribed <- s
				}()
				conn, err := l.Accept()
				require.NoError(t, err)
				defer conn.Close()
				opening := append(rawControl(welcome), rawControl(`{"type":"subscribed","sub":1,"generation":1,"cursor":"e1-0"}`)...)
				_, err = conn.Write(opening)
				require.NoError(t, err)
				s := <-subscribed
				for i := range row.fits {
					conn.Write(row.frame(uint64(i + 1)))
				}
				time.Sleep(sec)
				require.Empty(t, failures, "as much again may be on its way")
				conn.Write(row.frame(uint64(row.fits + 1)))
				time.Sleep(sec)
				require.ErrorContains(t, <-failures, "wait for Next, and another has come, though MaxInFlight is")
				_, err = s.Next(t.Context())
				if name == "gaps" {
					require.ErrorAs(t, err, new(*pubsub.Gap))
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}

// A client that asks and does not read the answers is not read from either, so that what
// the broker holds for it is bounded.
func TestAnswersThatNobodyReads(t *testing.T) {
	onTCP(t, func(t *testing.T, w *world) {
		conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(rawControl(`{"type":"hello","version":3,"client":"c","run":"r","attempt":1}`))
		require.NoError(t, err)
		pings := bytes.Repeat([]byte{0, 0, 0, 1, 'i'}, 100_000)
		sent, took := 0, 0
		for err == nil && sent < 100<<20 {
			conn.SetWriteDeadline(time.Now().Add(200 * ms))
			took, err = conn.Write(pings)
			sent += took
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.LessOrEqual(t, w.b.Stats().HeldBytes, int64(3<<20))

		// It reads: all of them are answered.
		conn.SetDeadline(time.Now().Add(10 * sec))
		answered := make(chan error)
		go func() {
			_, err := io.CopyN(io.Discard, conn, int64(sent-took+len(pings)))
			answered <- err
		}()
		_, err = conn.Write(pings[took:])
		require.NoError(t, err)
		require.NoError(t, <-answered)
	})
}
