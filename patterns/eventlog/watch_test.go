package eventlog_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// inBubbles runs the test in a bubble for each implementation that can be watched.
func inBubbles(t *testing.T, f func(t *testing.T, l eventlog.Log)) {
	for _, s := range subjects[:2] {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := s.open(t, eventlog.Options{Epoch: epoch})
				defer l.Close()
				f(t, l)
			})
		})
	}
}

func tokens(watches ...*eventlog.Watch) (n []int) {
	for _, w := range watches {
		n = append(n, len(w.C))
	}
	return n
}

func TestOneAppendWakesMatchingWatchesOnce(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		a, b, ab, all := l.Watch("a"), l.Watch("b"), l.Watch("a", "b"), l.Watch()

		put(t, l, "a:1", "c:2", "a:3")
		require.Equal(t, []int{1, 0, 1, 1}, tokens(a, b, ab, all))
		require.EqualValues(t, 3, l.Stats().Wakes)

		put(t, l, "b:4", "a:5", "b:6")
		require.Equal(t, []int{1, 1, 1, 1}, tokens(a, b, ab, all))
		require.EqualValues(t, 4, l.Stats().Wakes, "three still held the token of the first append")

		for _, w := range []*eventlog.Watch{a, b, ab, all} {
			<-w.C
			w.Stop()
			w.Stop()
		}
		put(t, l, "a:7", "b:8")
		require.Equal(t, []int{0, 0, 0, 0}, tokens(a, b, ab, all))
		require.Zero(t, l.Stats().Watches)
	})
}

func TestNextWaitsForAnEntryOfItsTopics(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			put(t, l, "other:1")
			time.Sleep(time.Second)
			put(t, l, "mine:2")
		}()

		page, err := eventlog.Next(t.Context(), l, l.Head(), eventlog.Query{Topics: []string{"mine"}})

		require.NoError(t, err)
		require.Equal(t, []string{"mine:2"}, words(page))
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Zero(t, l.Stats().Watches)
		require.EqualValues(t, 1, l.Stats().Wakes, "the other topic wakes nobody")
	})
}

func TestNextReturnsAtOnceWhatIsThere(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		put(t, l, "a:1")

		page, err := eventlog.Next(ctx, l, at(0), eventlog.Query{})
		require.NoError(t, err)
		require.Equal(t, []string{"a:1"}, words(page))

		page, err = eventlog.Next(ctx, l, at(9), eventlog.Query{})
		require.NoError(t, err)
		require.Equal(t, eventlog.ReasonFuture, page.Reset)

		page, err = eventlog.Next(ctx, l, at(1), eventlog.Query{})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, at(1), page.Next)
	})
}

func TestNextGivesUpWithTheContextAndKeepsItsPlace(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		time.AfterFunc(time.Second, func() { put(t, l, "other:1") })

		page, err := eventlog.Next(ctx, l, at(0), eventlog.Query{Topics: []string{"mine"}})

		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, eventlog.Page{Next: at(0)}, page)
		require.Zero(t, l.Stats().Watches)
	})
}

func TestNextOfNoLog(t *testing.T) {
	require.PanicsWithValue(t, "eventlog: Next: the log is nil", func() {
		eventlog.Next(t.Context(), nil, at(0), eventlog.Query{})
	})
}

func TestCloseEndsNext(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		time.AfterFunc(time.Second, func() { l.Close() })

		_, err := eventlog.Next(t.Context(), l, at(0), eventlog.Query{})

		require.ErrorIs(t, err, eventlog.ErrClosed)
	})
}

// between is a log to which an entry is appended just after a page was read.
type between struct {
	eventlog.Log
	once sync.Once
}

func (l *between) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	page, err := l.Log.After(c, q)
	l.once.Do(func() { l.Append(context.Background(), eventlog.Entry{Topic: "a", Data: []byte("just after")}) })
	return page, err
}

// A reader that registered its interest only after reading would now wait for
// ever, which the bubble reports as a deadlock.
func TestNextSeesAnEntryThatComesBetweenReadingAndWaiting(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		page, err := eventlog.Next(t.Context(), &between{Log: l}, at(0), eventlog.Query{})

		require.NoError(t, err)
		require.Equal(t, []string{"a:just after"}, words(page))
	})
}

// Each reader takes what it finds and comes back with the cursor it was given,
// while several writers append.
func TestReadersMissNothingBetweenVisits(t *testing.T) {
	inBubbles(t, func(t *testing.T, l eventlog.Log) {
		const writers, each, readers = 4, 50, 8
		done := make(chan int)
		for range readers {
			go func() {
				n, c := 0, at(0)
				for n < writers*each {
					page, err := eventlog.Next(t.Context(), l, c, eventlog.Query{MaxEntries: 7})
					if err != nil || page.Reset != "" {
						break
					}
					for _, e := range page.Entries {
						n++
						if e.Offset != uint64(n) {
							n = -1
						}
					}
					c = page.Next
				}
				done <- n
			}()
		}
		for range writers {
			go func() {
				for range each {
					l.Append(context.Background(), eventlog.Entry{Topic: "a"})
				}
			}()
		}
		for range readers {
			require.Equal(t, writers*each, <-done)
		}
	})
}
