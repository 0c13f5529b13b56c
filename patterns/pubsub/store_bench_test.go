package pubsub

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// BenchmarkStoreSaves is durable subscriptions that keep their positions at one time, against the same in a transaction of each one's own. An
// operation is that all have.
func BenchmarkStoreSaves(b *testing.B) {
	for _, subscriptions := range []int{1, 10, 100} {
		for _, way := range []string{"shared", "alone"} {
			b.Run(fmt.Sprintf("subscriptions=%d/%s", subscriptions, way), func(b *testing.B) {
				store, err := OpenStore(filepath.Join(b.TempDir(), "positions"))
				require.NoError(b, err)
				defer store.Close()
				save := func(name string, st []byte) error { return store.save(name, nil, st) }
				if way == "alone" {
					save = func(name string, st []byte) error {
						return store.file.Update(func(tx *bbolt.Tx) error { return tx.Bucket(stateBucket).Put([]byte(name), st) })
					}
				}
				names := make([]string, subscriptions)
				for i := range names {
					names[i] = fmt.Sprint("subscription ", i)
				}
				errs := make([]error, subscriptions)
				next := uint64(0)
				for b.Loop() {
					next++
					var all sync.WaitGroup
					for i, name := range names {
						all.Go(func() { errs[i] = save(name, (&state{epoch: 1, next: next}).encode()) })
					}
					all.Wait()
				}
				require.NoError(b, errors.Join(errs...))
			})
		}
	}
}
