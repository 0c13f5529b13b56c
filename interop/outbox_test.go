package interop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/squall-sim/squall/patterns/async/outbox"
	"github.com/squall-sim/squall/patterns/retry"
)

// An sqlOutbox is the table of the package's documentation over database/sql, as a program would write it.
type sqlOutbox struct{ db *sql.DB }

const outboxTable = `
CREATE TABLE outbox (id TEXT PRIMARY KEY, key TEXT NOT NULL, payload BLOB NOT NULL, number INTEGER NOT NULL, sent INTEGER);
CREATE INDEX unsent ON outbox (number) WHERE sent IS NULL;
CREATE TABLE numbers (next INTEGER NOT NULL);
INSERT INTO numbers VALUES (1);
CREATE TABLE orders (id TEXT PRIMARY KEY);`

func openSQLOutbox(t *testing.T, path string) *sqlOutbox {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=busy_timeout(10000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return &sqlOutbox{db}
}

// number takes a number, as a sequence of PostgreSQL gives it out: at once, and not with the transaction that wants it.
func (o *sqlOutbox) number(t *testing.T) (n int) {
	require.NoError(t, o.db.QueryRow("UPDATE numbers SET next = next + 1 RETURNING next - 1").Scan(&n))
	return n
}

// place commits an order together with the event that tells of it, and rolls both back if fail.
func (o *sqlOutbox) place(number int, id, key string, fail error) error {
	tx, err := o.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO orders VALUES (?)", id); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO outbox (id, key, payload, number) VALUES (?, ?, ?, ?)", id, key, []byte(id), number); err != nil {
		return err
	}
	if fail != nil {
		return fail
	}
	return tx.Commit()
}

// Unsent implements outbox.Store.
func (o *sqlOutbox) Unsent(ctx context.Context, limit int, except []string) (rows []outbox.Row, err error) {
	query, args := "SELECT id, key, payload FROM outbox WHERE sent IS NULL", []any{}
	if len(except) > 0 {
		query += " AND key NOT IN (?" + strings.Repeat(",?", len(except)-1) + ")"
		for _, key := range except {
			args = append(args, key)
		}
	}
	found, err := o.db.QueryContext(ctx, query+" ORDER BY number LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var r outbox.Row
		if err := found.Scan(&r.ID, &r.Key, &r.Payload); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// Sent implements outbox.Store.
func (o *sqlOutbox) Sent(ctx context.Context, ids []string) error {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	_, err := o.db.ExecContext(ctx, "UPDATE outbox SET sent = 1 WHERE id IN (?"+strings.Repeat(",?", len(ids)-1)+")", args...)
	return err
}

// An inbox is what receives, and knows events by their IDs.
type inbox struct {
	mu    sync.Mutex
	all   []string       // in the order of their first arrival
	times map[string]int // how often each came
}

// take returns how many events there are.
func (in *inbox) take(r outbox.Row) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.times[r.ID]++; in.times[r.ID] == 1 {
		in.all = append(in.all, r.ID)
	}
	return len(in.all)
}

// runRelays runs relays until so many events have come, and each relay has marked what it has published.
func runRelays(t *testing.T, in *inbox, until int, stores ...outbox.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, store := range stores {
		r := &outbox.Relay{Store: store, Batch: 7, Interval: time.Millisecond, Jitter: retry.NoJitter,
			Backoff: retry.Backoff{Min: time.Millisecond, Base: time.Millisecond, Max: time.Millisecond},
			Publish: func(_ context.Context, row outbox.Row) error {
				if in.take(row) == until {
					cancel()
				}
				return nil
			}}
		all.Go(func() { r.Run(ctx) })
	}
	all.Wait()
	require.ErrorIs(t, ctx.Err(), context.Canceled, "%d of %d came", len(in.all), until)
}

func left(t *testing.T, store outbox.Store) []outbox.Row {
	rows, err := store.Unsent(t.Context(), 1000, nil)
	require.NoError(t, err)
	return rows
}

func newSQLOutbox(t *testing.T) (*sqlOutbox, string) {
	path := filepath.Join(t.TempDir(), "shop.db")
	o := openSQLOutbox(t, path)
	_, err := o.db.Exec(outboxTable)
	require.NoError(t, err)
	return o, path
}

// SA-13 over a database: a transaction that took its number early and commits late is published, where a relay that goes by the last number
// it has sent passes over it.
func TestSQLOutboxSkipsNoRowThatCommitsLate(t *testing.T) {
	o, _ := newSQLOutbox(t)
	early := o.number(t)
	for _, id := range []string{"second", "third"} {
		require.NoError(t, o.place(o.number(t), id, id, nil))
	}
	require.Error(t, o.place(o.number(t), "never", "never", errors.New("rolled back")))
	in, lastSent := &inbox{times: map[string]int{}}, 0
	runRelays(t, in, 2, o)
	require.NoError(t, o.db.QueryRow("SELECT max(number) FROM outbox WHERE sent IS NOT NULL").Scan(&lastSent))
	require.NoError(t, o.place(early, "first", "first", nil))

	var passedOver int
	require.NoError(t, o.db.QueryRow("SELECT count(*) FROM outbox WHERE sent IS NULL AND number < ?", lastSent).Scan(&passedOver))
	require.Equal(t, 1, passedOver, "what a relay with a position does not see")
	runRelays(t, in, 3, o)
	require.Equal(t, []string{"second", "third", "first"}, in.all)
	require.Empty(t, left(t, o))
}

// A relay that ends between the publication and the mark, as by a crash, leaves the rows to the next one, which has the file opened anew.
func TestSQLOutboxAfterACrashOfItsRelay(t *testing.T) {
	o, path := newSQLOutbox(t)
	for i := range 20 {
		require.NoError(t, o.place(o.number(t), fmt.Sprint("order-", i), fmt.Sprint(i%3), nil))
	}
	in := &inbox{times: map[string]int{}}
	// The disk takes no mark from the second batch on: to the next relay that is a crash.
	crash := &crashing{sqlOutbox: o, marks: 1}
	runRelays(t, in, 14, crash)
	require.NoError(t, o.db.Close())
	require.Len(t, left(t, openSQLOutbox(t, path)), 13, "one batch of 7 was marked")

	again := openSQLOutbox(t, path)
	runRelays(t, in, 20, again)
	require.Empty(t, left(t, again))
	for i := range 20 {
		require.Equal(t, fmt.Sprint("order-", i), in.all[i], "in their order")
		want := 1
		if i >= 7 && i < 14 {
			want = 2
		}
		require.Equal(t, want, in.times[in.all[i]], "%d: what was published and not marked comes again, under its ID", i)
	}
}

type crashing struct {
	*sqlOutbox
	marks int
}

func (c *crashing) Sent(ctx context.Context, ids []string) error {
	if c.marks--; c.marks < 0 {
		return errors.New("killed")
	}
	return c.sqlOutbox.Sent(ctx, ids)
}

// Two relays at once, on connections of their own, beside programs that commit: each row is published, and none that was rolled back;
// some are published twice, since neither knows of the other, and known by their ID.
func TestTwoRelaysOfOneSQLOutbox(t *testing.T) {
	o, path := newSQLOutbox(t)
	in := &inbox{times: map[string]int{}}
	const writers, each = 4, 25
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				number := o.number(t)
				if err := o.place(number, "undone-"+id, "x", errUndone); !errors.Is(err, errUndone) {
					t.Errorf("undone: %v", err)
				}
				if err := o.place(number, id, fmt.Sprint(w), nil); err != nil {
					t.Errorf("place: %v", err)
				}
			}
		})
	}
	runRelays(t, in, writers*each, openSQLOutbox(t, path), openSQLOutbox(t, path))
	all.Wait()
	require.Empty(t, left(t, o))
	for _, id := range in.all {
		require.NotContains(t, id, "undone")
	}
	var orders int
	require.NoError(t, o.db.QueryRow("SELECT count(*) FROM orders").Scan(&orders))
	require.Equal(t, orders, len(in.all), "as many events as orders")
}

var errUndone = errors.New("undone")
