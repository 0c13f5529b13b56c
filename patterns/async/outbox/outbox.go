// Package outbox publishes what a transaction has committed. The transaction commits the business
// state together with a row that says what to publish, and a [Relay] publishes the rows.
//
// # When to use it
//
// Use it when others must be notified of a change in a database. Without an outbox, a crash between
// the commit and the publication loses the event, and a publication before the commit announces a
// change that may never happen. Do not use it where the log is the database (package eventlog), or
// where the receiver can read the state itself.
//
// # What it promises
//
//   - A committed row is published at least once, an uncommitted one never.
//   - A row is never skipped, however late its transaction commits: the relay keeps no position,
//     but asks for what has not been sent. A relay that goes by sequence numbers skips a
//     transaction that takes its number early and commits late (kamu-data/kamu-cli#1398,
//     Eventuous/eventuous#222).
//   - Rows with one Key are published in the order in which the [Store] returns them. A row that
//     fails holds up only rows with the same key.
//
// It does not promise that a row is published once: after a crash between Publish and Sent it is
// published again, with the same ID, by which the receiver must recognise it.
//
// # With bbolt
//
// [Bolt] is the store for a program that keeps its state in bbolt. The transaction that changes the
// state also adds the row:
//
//	box := &outbox.Bolt{DB: db, Bucket: "outbox"}
//	relay := &outbox.Relay{Store: box, Publish: publish}
//	go relay.Run(ctx)
//
//	err := db.Update(func(tx *bbolt.Tx) error {
//		if err := tx.Bucket([]byte("orders")).Put(id, order); err != nil {
//			return err
//		}
//		return box.Add(tx, outbox.Row{ID: "order-7-placed", Key: "7", Payload: order})
//	})
//	if err == nil {
//		relay.Wake()
//	}
//
// # With SQL
//
// For SQL, a store can use a table outbox(id, key, payload, sent) with an index on the unsent rows:
//
//	Unsent   SELECT id, key, payload FROM outbox WHERE sent IS NULL AND key <> ALL($2) ORDER BY id LIMIT $1
//	Sent     UPDATE outbox SET sent = now() WHERE id = ANY($1)
//
// Rows that commit late have smaller ids than some that were already sent; within a key, their
// order is then that of the commits. With several relays at once, lock the rows (FOR UPDATE SKIP
// LOCKED), or lease the relay's work as a job.
package outbox

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Row is an event to publish.
type Row struct {
	// ID names the row. A receiver that has already seen it drops the row.
	ID string
	// Key orders rows: rows with the same key are published in order. Empty: rows without
	// a key are ordered among themselves.
	Key string
	// Payload is the event.
	Payload []byte
}

// Store is the table with the rows. A Relay does not call its methods concurrently.
type Store interface {
	// Unsent returns the first rows, at most limit, that are committed and not marked as sent, in
	// their order. It skips rows whose keys are in except, because they are held up.
	Unsent(ctx context.Context, limit int, except []string) ([]Row, error)
	// Sent marks rows as sent, or removes them.
	Sent(ctx context.Context, ids []string) error
}

// Relay publishes the rows of a store. Store and Publish must be set. Do not change or copy it
// after first use.
type Relay struct {
	// Store is where the rows are.
	Store Store
	// Publish publishes a row. After an error or a panic, the row and later rows with its key are
	// retried.
	Publish func(ctx context.Context, r Row) error

	// Interval is how often the store is read without a call of Wake. Zero: 1 s.
	Interval time.Duration
	// Batch is how many rows are read and marked at once. Zero: 100.
	Batch int
	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the clock.
	Jitter retry.Jitter
	// OnRetry is called after each pass in which something failed, with the first error and the
	// delay before the next pass. Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets failures as warnings, panics as errors. Nil: nothing is logged.
	Logger *slog.Logger

	wake                        atomic.Pointer[chan struct{}]
	published, failures, passes atomic.Int64
}

// RelayStats are the counters of a Relay.
type RelayStats struct {
	// Published counts published rows, including repetitions. Failures counts publications and
	// calls of the store that failed, and Passes how often the store was read.
	Published, Failures, Passes int64
}

// Check returns an error that names each invalid setting and its value, or nil.
func (r *Relay) Check() error {
	check := fields.Of("outbox: Relay")
	if r.Store == nil {
		check.Bad("Store is nil: want the table with the rows")
	}
	if r.Publish == nil {
		check.Bad("Publish is nil: want a function")
	}
	check.Duration("Interval", r.Interval)
	check.Int("Batch", r.Batch)
	check.Backoff("Backoff", r.Backoff, retry.Backoff{})
	return check.Err()
}

// Stats returns the counters.
func (r *Relay) Stats() RelayStats {
	return RelayStats{Published: r.published.Load(), Failures: r.failures.Load(), Passes: r.passes.Load()}
}

// Wake says that a row may have been committed, so that it is published now and not at the next
// Interval. It does not block. Calling it is optional.
func (r *Relay) Wake() {
	if c := r.wake.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
}

// Run publishes until ctx ends, and returns ctx's error. If Check returns an
// error, Run returns it at once.
func (r *Relay) Run(ctx context.Context) error {
	if err := r.Check(); err != nil {
		return err
	}
	wake := make(chan struct{}, 1)
	r.wake.Store(&wake)
	jitter := r.Jitter.OrSeeded("outbox")
	log := polling.Logger(r.Logger)
	for failures := 0; ; {
		err := r.drain(ctx, log)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		delay := cmp.Or(r.Interval, time.Second)
		if failures++; err == nil {
			failures = 0
		} else {
			delay = r.Backoff.Delay(failures, jitter)
			if r.OnRetry != nil {
				r.OnRetry(err, delay)
			}
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// drain publishes all that can be, and returns the first error.
func (r *Relay) drain(ctx context.Context, log *slog.Logger) (first error) {
	held := map[string]bool{}
	var except []string // the keys that are held, in the order of their failures
	note := func(err error) {
		r.failures.Add(1)
		first = cmp.Or(first, err)
	}
	for ctx.Err() == nil {
		r.passes.Add(1)
		rows, err := r.Store.Unsent(ctx, cmp.Or(r.Batch, 100), except)
		if err != nil {
			log.Warn("the store failed", "error", err)
			note(err)
			return first
		}
		var sent []string
		were := len(except)
		for _, row := range rows {
			if held[row.Key] {
				continue
			}
			err := guard.Call(log, "outbox: Relay.Publish", func() error { return r.Publish(ctx, row) }, "row", row.ID)
			if ctx.Err() != nil && err != nil {
				break
			}
			if err != nil {
				log.Warn("a row was not published", "row", row.ID, "key", row.Key, "error", err)
				held[row.Key] = true
				except = append(except, row.Key)
				note(err)
				continue
			}
			r.published.Add(1)
			sent = append(sent, row.ID)
		}
		if len(sent) == 0 {
			if len(except) == were {
				return first
			}
			continue // behind those that are held up there may be others
		}
		// Also if ctx has ended meanwhile: a row that is published is better marked.
		if err := r.Store.Sent(context.WithoutCancel(ctx), sent); err != nil {
			log.Warn("the store failed", "error", err)
			note(err)
			return first
		}
	}
	return first
}
