package workqueue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/async/workqueue"
)

// A job from Add to Finish. The reference is three transactions of bbolt, which is what one caller
// alone needs.
func BenchmarkJob(b *testing.B) {
	for _, callers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := &workqueue.Queue{Path: filepath.Join(b.TempDir(), "queue"), MaxJobs: 1 << 30}
			defer q.Close()
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					ctx := context.Background()
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := q.Add(ctx, workqueue.Job{ID: fmt.Sprint(i), Payload: make([]byte, 200)}); err != nil {
							b.Error(err)
							return
						}
						task, err := q.Lease(ctx, "")
						if err == nil {
							err = q.Finish(ctx, task.ID, task.Token, workqueue.End{State: workqueue.Done})
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
	b.Run("reference", func(b *testing.B) {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		b.ResetTimer()
		for i := range b.N {
			for range 3 {
				err := db.Update(func(tx *bbolt.Tx) error {
					bucket, err := tx.CreateBucketIfNotExists([]byte("jobs"))
					if err != nil {
						return err
					}
					return bucket.Put(fmt.Appendf(nil, "%d", i), make([]byte, 600))
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
