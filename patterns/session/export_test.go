package session

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// Stored counts what is in the file, and checks that both of its indexes agree.
func Stored(t *testing.T, d *Disk) (n int) {
	t.Helper()
	require.NoError(t, d.file.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucketSessions)).Stats().KeyN
		require.Equal(t, n, tx.Bucket([]byte(bucketExpiry)).Stats().KeyN)
		return nil
	}))
	return n
}

// FileHas reports whether the bytes of a file contain a text.
func FileHas(t *testing.T, path, text string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return bytes.Contains(b, []byte(text))
}

// Len returns how many tokens are known.
func (l *Revocations) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.until)
}
