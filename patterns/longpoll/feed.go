package longpoll

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Feed serves a log to clients that poll it. The zero value is ready to use, with
// a log in memory. Do not change or copy it after first use.
type Feed struct {
	// Log is what is served. Nil: an eventlog.Memory with default bounds. The
	// owner of the log closes it, after the HTTP server.
	Log eventlog.Log

	// Wait is how long a poll that does not say so is held: 30 s (RFC 6202,
	// section 5.5, which knows of 120 s working too).
	Wait time.Duration
	// MaxWait bounds what a poll may ask for: 10 min.
	MaxWait time.Duration
	// ProxyTimeout is the shortest time after which anything on the path gives up
	// on a silent request: 60 s for nginx and many load balancers. Zero: not
	// known. If it is known, polls are held so that they end before it, jitter
	// and Margin included, whatever they ask for.
	ProxyTimeout time.Duration
	// Margin is what an answer may take on its way, for ProxyTimeout: 1 s.
	Margin time.Duration
	// Jitter draws what is added to each wait, up to a sixteenth of it, so that
	// clients that came together do not come together again; and the spread of
	// Retry-After. Nil: seeded by the clock at first use.
	Jitter Jitter

	// MinEvents holds an answer back until it has as many events: 1. An answer
	// that is full by MaxEvents or MaxBytes is never held back.
	MinEvents int
	// Linger bounds how long the first event of an answer is held back for want of
	// MinEvents. Zero: until the end of the wait.
	Linger time.Duration
	// MaxEvents and MaxBytes limit one answer: 1,000 events, 1 MiB of topics and
	// data. One event is sent however large it is.
	MaxEvents, MaxBytes int

	// MaxParked bounds the polls that are held at once: 10,000. Others are refused
	// with 503 and a Retry-After.
	MaxParked int
	// RetrySpread is the longest Retry-After of refusals; each is drawn from 1 s
	// to this. Zero: 10 s. A restart that sends all clients away has them come
	// back over this time.
	RetrySpread time.Duration
	// AnswerTimeout is how long a client may take to accept its answer: 10 s.
	AnswerTimeout time.Duration

	once  sync.Once
	drain chan struct{}
	stop  sync.Once
	parked, wakes, answers, events, empty,
	resets, refused, gone atomic.Int64
}

// FeedStats are the counters of a Feed.
type FeedStats struct {
	// Parked is the number of polls that are held now.
	Parked int
	// Wakes counts how often a held poll looked at the log because it had news.
	Wakes int64
	// Answers counts answers with events, Events the events in them, Empty the
	// answers without, Resets the answers that report a gap.
	Answers, Events, Empty, Resets int64
	// Refused counts polls that were sent away with 503, Gone polls whose client
	// went away while they were held.
	Refused, Gone int64
}

// Check returns what is wrong with the settings.
func (f *Feed) Check() error {
	check := fields.Of("longpoll: Feed")
	check.Duration("Wait", f.Wait)
	check.Duration("MaxWait", f.MaxWait)
	check.Duration("ProxyTimeout", f.ProxyTimeout)
	check.Duration("Margin", f.Margin)
	check.Duration("Linger", f.Linger)
	check.Duration("RetrySpread", f.RetrySpread)
	check.Duration("AnswerTimeout", f.AnswerTimeout)
	check.Int("MinEvents", f.MinEvents)
	check.Int("MaxEvents", f.MaxEvents)
	check.Int("MaxBytes", f.MaxBytes)
	check.Int("MaxParked", f.MaxParked)
	s := f.settings()
	if s.Wait > s.MaxWait {
		check.Bad("Wait is %v: want at most MaxWait, %v", s.Wait, s.MaxWait)
	}
	if s.MinEvents > s.MaxEvents {
		check.Bad("MinEvents is %d: want at most MaxEvents, %d", s.MinEvents, s.MaxEvents)
	}
	if f.ProxyTimeout > 0 && s.ProxyTimeout <= s.Margin {
		check.Bad("ProxyTimeout is %v: want more than Margin, %v", s.ProxyTimeout, s.Margin)
	}
	return check.Err()
}

// Handler returns the handler that answers polls; mount it at one path. It
// panics if Check finds fault. It lifts the WriteTimeout of its http.Server for
// the polls it holds, since that would break off their answers.
//
// A poll that is held keeps http.Server.Shutdown waiting, so register
// [Feed.Drain]:
//
//	server.RegisterOnShutdown(feed.Drain)
func (f *Feed) Handler() http.Handler {
	if err := f.Check(); err != nil {
		panic(err.Error())
	}
	f.init()
	return &handler{feed: f, settings: f.settings()}
}

// Publish appends an event to the log. It returns when the event is as durable as
// the log is and those who wait for it have been woken. The topic must be UTF-8.
func (f *Feed) Publish(topic string, data []byte) (eventlog.Cursor, error) {
	if !utf8.ValidString(topic) {
		return eventlog.Cursor{}, fmt.Errorf("longpoll: publish: topic %q is not UTF-8", topic)
	}
	f.init()
	return f.Log.Append(context.Background(), eventlog.Entry{Topic: topic, Data: data})
}

// Drain answers all polls that are held and refuses new ones, for the rest of the
// Feed's life. Clients keep their cursors and come back after a Retry-After.
func (f *Feed) Drain() {
	f.init()
	f.stop.Do(func() { close(f.drain) })
}

// Stats returns the counters.
func (f *Feed) Stats() FeedStats {
	return FeedStats{
		Parked:  int(f.parked.Load()),
		Wakes:   f.wakes.Load(),
		Answers: f.answers.Load(),
		Events:  f.events.Load(),
		Empty:   f.empty.Load(),
		Resets:  f.resets.Load(),
		Refused: f.refused.Load(),
		Gone:    f.gone.Load(),
	}
}

func (f *Feed) init() {
	f.once.Do(func() {
		f.drain = make(chan struct{})
		if f.Log == nil {
			f.Log = eventlog.NewMemory(eventlog.Options{})
		}
		f.Jitter = f.Jitter.OrSeeded("")
	})
}

// settings are the fields of a Feed with their defaults.
type settings struct {
	Wait, MaxWait, ProxyTimeout, Margin       time.Duration
	MinEvents, MaxEvents, MaxBytes, MaxParked int
	Linger, RetrySpread, AnswerTimeout        time.Duration
}

func (f *Feed) settings() settings {
	s := settings{
		MaxWait:       cmp.Or(f.MaxWait, 10*time.Minute),
		ProxyTimeout:  f.ProxyTimeout,
		Margin:        cmp.Or(f.Margin, time.Second),
		MinEvents:     cmp.Or(f.MinEvents, 1),
		MaxEvents:     cmp.Or(f.MaxEvents, 1000),
		MaxBytes:      cmp.Or(f.MaxBytes, 1<<20),
		MaxParked:     cmp.Or(f.MaxParked, 10_000),
		Linger:        f.Linger,
		RetrySpread:   cmp.Or(f.RetrySpread, 10*time.Second),
		AnswerTimeout: cmp.Or(f.AnswerTimeout, 10*time.Second),
	}
	s.Wait = cmp.Or(f.Wait, min(30*time.Second, s.MaxWait))
	return s
}

// longest returns the wait that a poll gets when it asks for d, before jitter of
// up to a sixteenth.
func (s *settings) longest(d time.Duration) time.Duration {
	d = min(d, s.MaxWait)
	if s.ProxyTimeout > 0 {
		least := s.ProxyTimeout - s.Margin
		d = min(d, least-(least+16)/17) // 16/17 of it, rounded down
	}
	return d
}
