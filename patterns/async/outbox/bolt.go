package outbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Bolt is the outbox of a program that keeps its state in bbolt: rows are added in the transactions
// that change the state. bbolt runs one transaction at a time, so rows are in the order of the
// commits. Sent rows are removed.
type Bolt struct {
	// DB is the program's database.
	DB *bbolt.DB
	// Bucket is the name of the bucket for the rows, which must contain nothing
	// else.
	Bucket string
}

// maxRowBytes bounds a row: bbolt refuses values of 2 GiB and more, and an event of 16 MiB is none.
const maxRowBytes = 16 << 20

type boltRow struct {
	ID      string `json:"id"`
	Key     string `json:"key,omitempty"`
	Payload []byte `json:"payload"`
}

// Add adds a row within a transaction. The row exists if and only if the transaction
// commits.
func (b *Bolt) Add(tx *bbolt.Tx, row Row) error {
	if row.ID == "" {
		return fmt.Errorf("outbox: Row.ID is empty: want a name")
	}
	if n := len(row.ID) + len(row.Key) + len(row.Payload); n > maxRowBytes {
		return fmt.Errorf("outbox: row %.40q has %d bytes: want at most %d", row.ID, n, maxRowBytes)
	}
	bucket, err := tx.CreateBucketIfNotExists([]byte(b.Bucket))
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	seq, err := bucket.NextSequence()
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	value, err := json.Marshal(boltRow(row))
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return bucket.Put(binary.BigEndian.AppendUint64(nil, seq), value)
}

// Unsent is as for every Store.
func (b *Bolt) Unsent(_ context.Context, limit int, except []string) (rows []Row, err error) {
	err = b.each(false, func(_ *bbolt.Cursor, row boltRow) (more bool, err error) {
		if !slices.Contains(except, row.Key) {
			rows = append(rows, Row(row))
		}
		return len(rows) < limit, nil
	})
	return rows, err
}

// Sent is as for every Store.
func (b *Bolt) Sent(_ context.Context, ids []string) error {
	left := map[string]bool{}
	for _, id := range ids {
		left[id] = true
	}
	return b.each(true, func(c *bbolt.Cursor, row boltRow) (more bool, err error) {
		if left[row.ID] {
			delete(left, row.ID)
			err = c.Delete()
		}
		return len(left) > 0, err
	})
}

func (b *Bolt) each(writable bool, f func(c *bbolt.Cursor, row boltRow) (more bool, err error)) error {
	run := b.DB.View
	if writable {
		run = b.DB.Update
	}
	err := run(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(b.Bucket))
		if bucket == nil {
			return nil
		}
		c := bucket.Cursor()
		for k, v := c.First(); k != nil; {
			var row boltRow
			if err := json.Unmarshal(v, &row); err != nil {
				return fmt.Errorf("row % x: %w", k, err)
			}
			// A cursor that has deleted may skip its next key, so it seeks.
			next := binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(k)+1)
			more, err := f(c, row)
			if err != nil || !more {
				return err
			}
			k, v = c.Seek(next)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}
