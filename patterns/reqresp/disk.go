package reqresp

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/bolt"
)

// Disk is a [Store] in one bbolt file. What Commit has stored is there when the file is opened
// again, the effect with its answer or neither. A commit waits for the disk; commits that arrive in
// the meantime share the next transaction. Keys have at most 32,760 bytes, and keys of effects 8
// more. Create one with [OpenDisk].
type Disk struct {
	opts StoreOptions
	file *bolt.File
}

var (
	dataBucket    = []byte("data")    // of the effects
	recordsBucket = []byte("records") // by key
	expiryBucket  = []byte("expiry")  // keys of records by the time when they are forgotten, then by key
	formatBucket  = []byte("format")
	versionKey    = []byte("version")
	countKey      = []byte("records")
)

// formatVersion is that of the file and of diskRecord.
const formatVersion = 1

// diskRecord is a Record in a file.
type diskRecord struct {
	Fingerprint []byte      `json:"fingerprint"`
	Until       int64       `json:"until"` // nanoseconds since 1970
	Status      int         `json:"status"`
	Header      http.Header `json:"header,omitempty"`
	Body        []byte      `json:"body,omitempty"`
}

// OpenDisk opens the store in the file at path, and creates it if it does not exist. It returns
// an error if another process has the file open for more than one second, or if the file is not a
// store or has a format that this version does not know.
func OpenDisk(path string, opts StoreOptions) (*Disk, error) {
	if err := opts.withDefaults(); err != nil {
		return nil, err
	}
	file, err := bolt.Open(path, "a store of answers", string(dataBucket), string(recordsBucket), string(expiryBucket), string(formatBucket))
	if err != nil {
		return nil, fmt.Errorf("reqresp: open %w", err)
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		format := tx.Bucket(formatBucket)
		version := format.Get(versionKey)
		if version == nil {
			return format.Put(versionKey, []byte{formatVersion})
		}
		if !bytes.Equal(version, []byte{formatVersion}) {
			return fmt.Errorf("its format is %d: want %d", version, formatVersion)
		}
		return nil
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("reqresp: open %w", err)
	}
	return &Disk{opts: opts, file: file}, nil
}

// Close closes the file, after the transactions in progress.
func (d *Disk) Close() error { return d.file.Close() }

// Find is as for every Store.
func (d *Disk) Find(_ context.Context, key string, now time.Time) (record *Record, err error) {
	err = d.file.View(func(tx *bbolt.Tx) error {
		record, err = find(tx, key, now)
		return err
	})
	return record, err
}

func find(tx *bbolt.Tx, key string, now time.Time) (*Record, error) {
	text := tx.Bucket(recordsBucket).Get([]byte(key))
	if text == nil {
		return nil, nil
	}
	var r diskRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("record of a key: %w", err)
	}
	if len(r.Fingerprint) != len(fingerprint{}) {
		return nil, fmt.Errorf("record of a key: fingerprint of %d bytes", len(r.Fingerprint))
	}
	record := &Record{
		Fingerprint: fingerprint(r.Fingerprint),
		Until:       time.Unix(0, r.Until),
		Answer:      Response{Status: r.Status, Header: r.Header, Body: r.Body},
	}
	if !now.Before(record.Until) {
		return nil, nil
	}
	return record, nil
}

// Commit is as for every Store.
func (d *Disk) Commit(ctx context.Context, key string, record Record, now time.Time, effect Effect) (*Record, error) {
	done := &record
	if len(key) > bbolt.MaxKeySize-8 {
		return nil, fmt.Errorf("reqresp: key %.40q has %d bytes: want at most %d", key, len(key), bbolt.MaxKeySize-8)
	}
	err := d.file.Share(func(tx *bbolt.Tx) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if key != "" {
			if err := forget(tx, now); err != nil {
				return bolt.Half(err)
			}
			if r, err := find(tx, key, now); err != nil || r != nil {
				done = r
				return err
			}
			if count(tx) >= uint64(d.opts.MaxKeys) {
				return ErrFull
			}
		}
		data := tx.Bucket(dataBucket)
		changes := &overlay{read: func(key string) []byte { return data.Get([]byte(key)) }}
		answer, err := run(effect, changes)
		if err == nil {
			err = changes.changes(fits, func(string) error { return nil })
		}
		if err != nil {
			return err
		}
		record.Answer = *answer
		err = changes.changes(
			func(key string, value []byte) error { return data.Put([]byte(key), value) },
			func(key string) error { return data.Delete([]byte(key)) })
		if err != nil || key == "" {
			return bolt.Half(err)
		}
		return bolt.Half(keep(tx, key, &record))
	})
	if err != nil {
		// The file's name says nothing of an answer that the effect gave.
		if answer := (refused{}); errors.As(err, &answer) {
			return nil, answer
		}
		return nil, err
	}
	return done, nil
}

// fits returns an error for an invalid change by an effect, before anything is changed, because
// others share the transaction.
func fits(key string, value []byte) error {
	switch {
	case key == "" || len(key) > bbolt.MaxKeySize:
		return fmt.Errorf("reqresp: an Effect's key %.40q has %d bytes: want 1 to %d", key, len(key), bbolt.MaxKeySize)
	case len(value) > bbolt.MaxValueSize:
		return fmt.Errorf("reqresp: an Effect's value of %.40q has %d bytes: want at most %d", key, len(value), bbolt.MaxValueSize)
	}
	return nil
}

// expiryKey is the key of a record in expiryBucket.
func expiryKey(until int64, key string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(until)), key...)
}

func keep(tx *bbolt.Tx, key string, r *Record) error {
	until := r.Until.UnixNano()
	text, err := json.Marshal(diskRecord{r.Fingerprint[:], until, r.Answer.Status, r.Answer.Header, r.Answer.Body})
	if err != nil {
		return err
	}
	return errors.Join(
		tx.Bucket(recordsBucket).Put([]byte(key), text),
		tx.Bucket(expiryBucket).Put(expiryKey(until, key), []byte{}),
		setCount(tx, count(tx)+1))
}

// forgetAtOnce is how many expired records a commit removes at most; it adds
// one.
const forgetAtOnce = 100

// forget drops the records that have expired, the oldest first.
func forget(tx *bbolt.Tx, now time.Time) error {
	var gone [][]byte
	cursor := tx.Bucket(expiryBucket).Cursor()
	for k, _ := cursor.First(); k != nil && len(gone) < forgetAtOnce; k, _ = cursor.Next() {
		if len(k) < 8 || int64(binary.BigEndian.Uint64(k)) > now.UnixNano() {
			break
		}
		gone = append(gone, bytes.Clone(k))
	}
	for _, k := range gone {
		if err := errors.Join(tx.Bucket(expiryBucket).Delete(k), tx.Bucket(recordsBucket).Delete(k[8:])); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return setCount(tx, count(tx)-uint64(len(gone)))
}

func count(tx *bbolt.Tx) uint64 {
	if n := tx.Bucket(formatBucket).Get(countKey); len(n) == 8 {
		return binary.BigEndian.Uint64(n)
	}
	return 0
}

func setCount(tx *bbolt.Tx, n uint64) error {
	return tx.Bucket(formatBucket).Put(countKey, binary.BigEndian.AppendUint64(nil, n))
}
