package polling

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Shell is the common part of both packages' servers: a log that accepts events until the server
// shuts down. Call Begin before using it.
type Shell struct {
	Lifecycle
	once    sync.Once
	pattern string
	log     eventlog.Log
}

// Begin sets, once, the defaults of a server's fields and the errors of a server of this pattern
// after Drain and Close.
func (s *Shell) Begin(pattern string, log *eventlog.Log, logger **slog.Logger, draining, closed error, more func()) {
	s.once.Do(func() {
		if *log == nil {
			*log = eventlog.NewMemory(eventlog.Options{})
		}
		*logger = Logger(*logger)
		s.pattern, s.log = pattern, *log
		s.Errors(draining, closed)
		more()
	})
}

// defaultMaxMessageBytes is what a server's MaxMessageBytes is by default. In an answer such an
// event has some 11 MiB, and a client takes 16.
const defaultMaxMessageBytes = 8 << 20

// maxTopicBytes is the longest topic of an event.
const maxTopicBytes = 1 << 10

// Publish appends an event of at most maxBytes; 0: the default. The topic must be UTF-8, because
// JSON has no other text.
func (s *Shell) Publish(ctx context.Context, topic string, data []byte, maxBytes int) (cursor eventlog.Cursor, err error) {
	maxBytes = cmp.Or(maxBytes, defaultMaxMessageBytes)
	switch n := len(topic) + len(data); {
	case s.Err() != nil:
		return cursor, s.Err()
	case len(topic) > maxTopicBytes:
		err = fmt.Errorf("topic has %d bytes: want at most %d", len(topic), maxTopicBytes)
	case !utf8.ValidString(topic):
		err = fmt.Errorf("topic %q is not UTF-8", topic)
	case n > maxBytes:
		err = fmt.Errorf("%w: %d bytes, and MaxMessageBytes is %d", eventlog.ErrTooLarge, n, maxBytes)
	default:
		cursor, err = s.log.Append(ctx, eventlog.Entry{Topic: topic, Data: data})
	}
	if err != nil {
		return eventlog.Cursor{}, fmt.Errorf("%s: publish: %w", s.pattern, err)
	}
	return cursor, nil
}

// Lifecycle is the state of a server: running, drained or closed. The zero value is running. Its
// errors are set with Errors.
type Lifecycle struct {
	mu               sync.Mutex
	stage            stage
	draining, closed error         // what Err returns in these stages
	stopped          chan struct{} // closed when the stage is no longer serving
	busy             int           // what has begun and not ended
	idle             chan struct{} // closed when that comes to nothing; nil: Drain does not wait for it
}

type stage int

const (
	serving stage = iota
	isDraining
	isClosed
)

// Stopped is closed when the server is drained or closed.
func (l *Lifecycle) Stopped() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop()
}

func (l *Lifecycle) stop() chan struct{} {
	if l.stopped == nil {
		l.stopped = make(chan struct{})
	}
	return l.stopped
}

// Enter begins something that Drain waits for. It returns false after Drain or Close.
func (l *Lifecycle) Enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stage != serving {
		return false
	}
	l.busy++
	return true
}

// Leave must be called after an Enter that returned true.
func (l *Lifecycle) Leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy--; l.busy == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// Drain drains the server, and waits until everything that has begun has ended,
// or ctx is done.
func (l *Lifecycle) Drain(ctx context.Context) error {
	l.end(isDraining)
	l.mu.Lock()
	if l.busy > 0 && l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the server without waiting. It returns nil.
func (l *Lifecycle) Close() error {
	l.end(isClosed)
	return nil
}

func (l *Lifecycle) end(as stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stage == serving {
		close(l.stop())
	}
	l.stage = max(l.stage, as)
}

// Errors sets what Err returns, before its first use.
func (l *Lifecycle) Errors(draining, closed error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining, l.closed = draining, closed
}

// Err returns one of the errors after Drain or Close.
func (l *Lifecycle) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return [...]error{serving: nil, isDraining: l.draining, isClosed: l.closed}[l.stage]
}
