package pubsub

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// Subscriptions that keep their positions while the disk is busy share the next transaction, with those that are new, or are removed.
func TestSavesShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := OpenStore(filepath.Join(t.TempDir(), "positions"))
		require.NoError(t, err)
		defer store.Close()
		number := 0
		hold := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			require.NoError(t, store.update(func(tx *bbolt.Tx) error {
				number = tx.ID()
				<-hold
				return nil
			}))
		})
		for i := range 20 {
			synctest.Wait() // they come in their order
			all.Go(func() {
				require.NoError(t, store.save(fmt.Sprintf("s%02d", i), &SubscribeOptions{Filter: "t", Name: "s"}, (&state{epoch: 1, next: uint64(i)}).encode()))
			})
		}
		synctest.Wait()
		all.Go(func() { require.NoError(t, store.remove("s00")) })
		synctest.Wait()
		close(hold)
		all.Wait()

		require.NoError(t, store.update(func(tx *bbolt.Tx) error {
			require.Equal(t, number+2, tx.ID(), "the one that was held, one of all, and this")
			return nil
		}))
		records, err := store.load()
		require.NoError(t, err)
		require.Len(t, records, 19)
		for i, r := range records {
			require.Equal(t, fmt.Sprintf("s%02d", i+1), r.name)
			require.EqualValues(t, i+1, r.state.next)
		}
	})
}
