package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// slowLog takes a second for each Append, and then fails if it is told to. It counts them.
type slowLog struct {
	eventlog.Log
	mu      sync.Mutex
	fails   bool
	appends int
}

func (l *slowLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	l.mu.Lock()
	l.appends++
	fails := l.fails
	l.mu.Unlock()
	time.Sleep(sec)
	if fails {
		return eventlog.Cursor{}, errors.New("the disk is full")
	}
	return l.Log.Append(ctx, entries...)
}

func (w *world) onSlowLog() *slowLog {
	log := &slowLog{Log: w.log}
	w.stop()
	w.log = log
	w.start()
	return log
}

// Publishers do not wait for each other's disk, and what one connection brings together is
// stored together.
func TestPublishersShareTheDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		log := w.onSlowLog()
		var mu sync.Mutex
		stored := map[uint64]string{} // by offset
		publish := func(clients, each int) time.Duration {
			var all sync.WaitGroup
			began := time.Now()
			for i := range clients {
				c := w.client(fmt.Sprint(clients, "-", i))
				for j := range each {
					all.Go(func() {
						data := fmt.Sprint(clients, " ", i, " ", j)
						r, err := c.Publish(t.Context(), pubsub.Message{Topic: "t", Data: []byte(data)})
						require.NoError(t, err)
						mu.Lock()
						defer mu.Unlock()
						stored[r.Cursor.Offset] = data
					})
				}
			}
			all.Wait()
			return time.Since(began)
		}
		require.Less(t, publish(20, 1), 2*sec)
		require.Equal(t, 20, log.appends)
		require.Less(t, publish(1, 100), 3*sec)
		require.LessOrEqual(t, log.appends, 22)
		require.EqualValues(t, 120, w.log.Head().Offset)
		s := w.subscribe(w.client("s"), pubsub.SubscribeOptions{Filter: "t"})
		for offset := range uint64(120) {
			s.acks(stored[offset+1])
		}
	})
}

// A message that is published twice at once is stored once, and both hear where. If the
// first could not be stored the second is.
func TestTwoOfOneIDAtOnce(t *testing.T) {
	for _, fails := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			log := w.onSlowLog()
			log.fails = fails
			type result struct {
				r   pubsub.Receipt
				err error
			}
			results := make(chan result, 3)
			for i := range 3 {
				go func() {
					r, err := w.b.Publish(t.Context(), pubsub.Message{Topic: "t", ID: "one"})
					results <- result{r, err}
				}()
				time.Sleep(sec / 4)
				if i == 0 {
					log.mu.Lock()
					log.fails = false
					log.mu.Unlock()
				}
			}
			duplicates, failed := 0, 0
			for range 3 {
				x := <-results
				switch {
				case x.err != nil:
					require.ErrorContains(t, x.err, "the disk is full")
					failed++
				case x.r.Duplicate:
					duplicates++
				}
				if x.err == nil {
					require.EqualValues(t, 1, x.r.Cursor.Offset)
				}
			}
			require.EqualValues(t, 1, w.log.Head().Offset)
			if fails {
				require.Equal(t, []int{1, 1}, []int{failed, duplicates})
			} else {
				require.Equal(t, []int{0, 2}, []int{failed, duplicates})
			}
			require.EqualValues(t, duplicates, w.b.Stats().Duplicates)

			// Who waits for another's can give up.
			go w.b.Publish(t.Context(), pubsub.Message{Topic: "t", ID: "two"})
			time.Sleep(sec / 4)
			ctx, cancel := context.WithTimeout(t.Context(), sec/4)
			defer cancel()
			_, err := w.b.Publish(ctx, pubsub.Message{Topic: "t", ID: "two"})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(5 * sec)
		})
	}
}

// Messages that come together have each its own answer, and keep their order.
func TestMessagesThatComeTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.log = &smallLog{Log: w.log, max: 1000}
		log := w.onSlowLog()
		s := w.subscribe(w.client("s"), pubsub.SubscribeOptions{Filter: ">"})
		c := w.client("c")
		var all sync.WaitGroup
		all.Go(func() { c.Publish(t.Context(), pubsub.Message{Topic: "t", Data: []byte("first")}) })
		time.Sleep(sec / 2) // the others come while this one is written
		var errs [8]error
		var at [8]pubsub.Receipt
		for i, m := range []pubsub.Message{
			{Topic: "t", ID: "a", Data: []byte("0")},
			{Topic: "u", Data: []byte("1")},
			{Topic: "t", Data: make([]byte, 2000)}, // more than the log takes
			{Topic: "t", ID: "a", Data: []byte("again")},
			{Topic: "t", Key: "k", Headers: map[string]string{"h": "v"}, Data: []byte("4")},
			{Topic: "u", Data: []byte("5"), TTL: time.Hour},
			{Topic: "t", ID: "a", Data: []byte("again")},
			{Topic: "t", Data: []byte("7")},
		} {
			all.Go(func() { at[i], errs[i] = c.Publish(t.Context(), m) })
			time.Sleep(1) // one after the other
		}
		all.Wait()
		require.Equal(t, 1+1+6, log.appends, "those together, and, since one of the six does not fit, each of them")
		s.acks("first")
		for i, err := range errs {
			if i == 2 {
				require.ErrorIs(t, err, eventlog.ErrTooLarge)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, i == 3 || i == 6, at[i].Duplicate)
		}
		require.Equal(t, at[0].Cursor, at[3].Cursor)
		require.Equal(t, at[0].Cursor, at[6].Cursor)
		s.acks("0", "1", "4", "5", "7")
		for i, offset := range map[int]uint64{0: 2, 1: 3, 4: 4, 5: 5, 7: 6} {
			require.Equal(t, offset, at[i].Cursor.Offset)
		}
	})
}

// What is published before a subscription begins is before it, in one write too.
func TestOrderWithinOneWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		conn, err := w.dial("c")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		defer conn.Close()
		frames := rawControl(`{"type":"hello","version":3,"client":"c","run":"r","attempt":1}`)
		frames = append(frames, 0, 0, 0, 8, 'p', 1, 1, 't', 0, 0, 0, 0)
		frames = append(frames, rawControl(`{"type":"subscribe","sub":2,"options":{"filter":"t","from_now":true}}`)...)
		frames = append(frames, 0, 0, 0, 8, 'p', 3, 1, 't', 0, 0, 0, 0)
		_, err = conn.Write(frames)
		require.NoError(t, err)
		require.Contains(t, nextFrame(t, conn), "welcome")
		require.Equal(t, "k\x01\xe1\x01\x01\x00", nextFrame(t, conn))
		var rest []string
		for range 3 {
			rest = append(rest, nextFrame(t, conn))
		}
		require.Contains(t, rest, "k\x03\xe1\x01\x02\x00")
		require.Condition(t, func() bool {
			return slices.ContainsFunc(rest, func(f string) bool { return strings.Contains(f, `"cursor":"e1-1"`) })
		}, "%q", rest)
		require.Condition(t, func() bool {
			return slices.ContainsFunc(rest, func(f string) bool { return f[0] == 'd' && f[len(f)-4] == 't' })
		}, "%q", rest)
	})
}
