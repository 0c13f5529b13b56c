package outbox_test

import (
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

func tempDB() (remove func(), db *bbolt.DB) {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		panic(err)
	}
	db, err = bbolt.Open(filepath.Join(dir, "db"), 0o600, nil)
	if err != nil {
		panic(err)
	}
	return func() { db.Close(); os.RemoveAll(dir) }, db
}
