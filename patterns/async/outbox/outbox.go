// Package outbox publishes what a transaction has committed: the business state and a row that says
// what to publish are committed together, and a [Relay] publishes the rows.
//
// # When to use it
//
// When a change in a database must be told to others: without an outbox a crash between the commit and the
// publication loses the event, and a publication before the commit tells of what may never be. Not where
// the log is the database (package eventlog), or where the receiver can read the state itself.
//
// # What it promises
//
//   - What is committed is published at least once, what is not committed never.
//   - A row is never skipped, however late its transaction commits: the relay keeps no position, but asks
//     for what has not been sent. A relay that goes by sequence numbers passes over a transaction which
//     took its number early and commits late (kamu-data/kamu-cli#1398, Eventuous/eventuous#222).
//   - Rows of one Key are published in the order in which the Store gives them. A row that fails holds up
//     those of its key and no others.
//
// It does not promise that a row is published once: after a crash between Publish and Sent it comes
// again, with the same ID, by which the receiver must know it.
//
// # With bbolt
//
// [Bolt] is the store of a program that keeps its state in bbolt. The transaction that changes the state adds the row:
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
// The store of a table outbox(id, key, payload, sent), with an index of the unsent rows:
//
//	Unsent   SELECT id, key, payload FROM outbox WHERE sent IS NULL AND key <> ALL($2) ORDER BY id LIMIT $1
//	Sent     UPDATE outbox SET sent = now() WHERE id = ANY($1)
//
// Rows that commit late have smaller ids than some that were sent: within a key their order is that of
// the commits then. With several relays at once, lock the rows (FOR UPDATE SKIP LOCKED), or lease the
// relay's work as a job.
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

// Row is what is to be published.
type Row struct {
	// ID names the row; a receiver that has had it drops it.
	ID string
	// Key is within what the order of rows counts. Empty: that of all rows without a key.
	Key string
	// Payload is the event.
	Payload []byte
}

// Store is the table with the rows. Its methods are not called concurrently by one Relay.
type Store interface {
	// Unsent returns the first rows, at most limit, that are committed and not marked as sent, in their
	// order, without those whose keys are in except: these are held up.
	Unsent(ctx context.Context, limit int, except []string) ([]Row, error)
	// Sent marks rows as sent, or removes them.
	Sent(ctx context.Context, ids []string) error
}

// Relay publishes the rows of a store. Store and Publish must be set. Do not change or copy it after first
// use.
type Relay struct {
	// Store has the rows.
	Store Store
	// Publish publishes a row. After an error, or a panic, the row and those of its key that follow are
	// tried again later.
	Publish func(ctx context.Context, r Row) error

	// Interval is how often the store is asked when nothing is said by Wake: 1 s.
	Interval time.Duration
	// Batch is how many rows are read and marked at once: 100.
	Batch int
	// Backoff bounds the delays after failures.
	Backoff retry.Backoff
	// Jitter draws them. Nil: seeded by the clock.
	Jitter retry.Jitter
	// OnRetry, if not nil, is called after each pass in which something failed, with the first error and
	// the delay before the next.
	OnRetry func(err error, delay time.Duration)
	// Logger gets failures as warnings, panics as errors. Nil: nothing is logged.
	Logger *slog.Logger

	wake                        atomic.Pointer[chan struct{}]
	published, failures, passes atomic.Int64
}

// RelayStats are the counters of a Relay.
type RelayStats struct {
	// Published counts rows that were published, those that were so again included, Failures
	// publications and calls of the store that failed, and Passes how often the store was asked.
	Published, Failures, Passes int64
}

// Check returns what is wrong with the settings.
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
// Interval. It does not block, and may be left out.
func (r *Relay) Wake() {
	if c := r.wake.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
}

// Run publishes until ctx ends, and returns its error, or what Check finds.
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
