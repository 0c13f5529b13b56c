package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/bolt"
)

// Disk is a [Store] in a file, which only one process can have open. It stores no token in clear
// text, so reading the file does not allow anyone to take over a session. Save returns when the
// session is on disk.
type Disk struct {
	file *bolt.File
	now  func() time.Time
}

// The buckets of the file: sessions by the hash of their token, and those hashes by the time when
// the session is over.
const (
	bucketSessions = "sessions"
	bucketExpiry   = "expiry"
)

// diskVersion is that of [diskRecord].
const diskVersion = 1

// diskRecord is the form in which a session is written.
type diskRecord struct {
	Format  int               `json:"format"`
	User    string            `json:"user,omitempty"`
	Values  map[string]string `json:"values,omitempty"`
	Created time.Time         `json:"created"`
	Seen    time.Time         `json:"seen"`
	Expires time.Time         `json:"expires"`
	Version uint64            `json:"version"`
}

// OpenDisk opens the file at path, or creates it. Sessions expire by clock; nil: time.Now.
func OpenDisk(path string, clock func() time.Time) (*Disk, error) {
	file, err := bolt.Open(path, "a store of sessions", bucketSessions, bucketExpiry)
	if err != nil {
		return nil, fmt.Errorf("session: OpenDisk: %w", err)
	}
	return &Disk{file, clock}, nil
}

// Close closes the file.
func (d *Disk) Close() error { return d.file.Close() }

// Load implements [Store].
func (d *Disk) Load(_ context.Context, token string) (r Record, err error) {
	err = d.file.View(func(tx *bbolt.Tx) error {
		r, err = d.stored(tx, hashOf(token))
		return err
	})
	return r, err
}

// Save implements [Store].
func (d *Disk) Save(_ context.Context, token string, r Record) (string, error) {
	return d.put(token, r, false)
}

// Renew implements [Store].
func (d *Disk) Renew(_ context.Context, token string, r Record) (string, error) {
	return d.put(token, r, true)
}

// Delete implements [Store].
func (d *Disk) Delete(_ context.Context, token string) error {
	return d.file.Share(func(tx *bbolt.Tx) error { return bolt.Half(remove(tx, hashOf(token))) })
}

func (d *Disk) put(token string, r Record, renew bool) (string, error) {
	err := d.file.Share(func(tx *bbolt.Tx) error {
		if token != "" {
			old, err := d.stored(tx, hashOf(token))
			if err != nil {
				return err
			}
			if old.Version != r.Version {
				return ErrConflict
			}
			if err := remove(tx, hashOf(token)); err != nil {
				return bolt.Half(err)
			}
		}
		if token == "" || renew {
			token = newToken()
		}
		if err := d.sweep(tx); err != nil {
			return bolt.Half(err)
		}
		hash := hashOf(token)
		text, err := json.Marshal(diskRecord{diskVersion, r.User, r.Values, r.Created, r.Seen, r.Expires, r.Version + 1})
		if err != nil {
			return bolt.Half(err)
		}
		if err := tx.Bucket([]byte(bucketExpiry)).Put(expiryKey(r.Expires, hash), nil); err != nil {
			return bolt.Half(err)
		}
		return bolt.Half(tx.Bucket([]byte(bucketSessions)).Put(hash, text))
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// stored returns a session that has not expired.
func (d *Disk) stored(tx *bbolt.Tx, hash []byte) (Record, error) {
	r, err := read(tx, hash)
	if err == nil && !now(d.now).Before(r.Expires) {
		err = ErrNone
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

func read(tx *bbolt.Tx, hash []byte) (Record, error) {
	text := tx.Bucket([]byte(bucketSessions)).Get(hash)
	if text == nil {
		return Record{}, ErrNone
	}
	var s diskRecord
	if err := json.Unmarshal(text, &s); err != nil {
		return Record{}, fmt.Errorf("session: Disk: a stored session: %w", err)
	}
	if s.Format != diskVersion {
		return Record{}, fmt.Errorf("session: Disk: a stored session has format %d: want %d", s.Format, diskVersion)
	}
	return Record{s.User, s.Values, s.Created, s.Seen, s.Expires, s.Version}, nil
}

// remove forgets a session, if there is one.
func remove(tx *bbolt.Tx, hash []byte) error {
	r, err := read(tx, hash)
	if err == ErrNone {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.Bucket([]byte(bucketExpiry)).Delete(expiryKey(r.Expires, hash)); err != nil {
		return err
	}
	return tx.Bucket([]byte(bucketSessions)).Delete(hash)
}

// sweepEach is how many expired sessions each save removes: more than one, so that the file does
// not grow.
const sweepEach = 4

func (d *Disk) sweep(tx *bbolt.Tx) error {
	over := expiryKey(now(d.now), nil)
	c := tx.Bucket([]byte(bucketExpiry)).Cursor()
	for range sweepEach {
		k, _ := c.First()
		if k == nil || string(k[:8]) > string(over) {
			return nil
		}
		if err := tx.Bucket([]byte(bucketSessions)).Delete(k[8:]); err != nil {
			return err
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

func hashOf(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// expiryKey sorts by time.
func expiryKey(t time.Time, hash []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(0, t.UnixNano()))), hash...)
}
