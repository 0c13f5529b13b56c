package reqresp_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/reqresp"
)

// Writers that each wait for their effect to be on the disk. The reference is a transaction of bbolt for each, of three values as an
// effect and its answer are. With TMPDIR on a disk: in memory nothing waits.
func BenchmarkCommits(b *testing.B) {
	for _, writers := range []int{1, 64} {
		run := func(b *testing.B, one func(nth int64) error) {
			var nth atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for range writers {
				all.Go(func() {
					for i := nth.Add(1); i <= int64(b.N); i = nth.Add(1) {
						if err := one(i); err != nil {
							panic(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		}
		b.Run(fmt.Sprintf("reference/writers=%d", writers), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "file"), 0o600, nil)
			require.NoError(b, err)
			defer db.Close()
			run(b, func(nth int64) error {
				return db.Update(func(tx *bbolt.Tx) error {
					for _, name := range []string{"a", "b", "c"} {
						bucket, err := tx.CreateBucketIfNotExists([]byte(name))
						if err != nil {
							return err
						}
						if err := bucket.Put(fmt.Append(nil, nth), make([]byte, 100)); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
		b.Run(fmt.Sprintf("Disk/writers=%d", writers), func(b *testing.B) {
			d, err := reqresp.OpenDisk(filepath.Join(b.TempDir(), "answers"), reqresp.StoreOptions{MaxKeys: 1 << 30})
			require.NoError(b, err)
			defer d.Close()
			run(b, func(nth int64) error {
				key, now := fmt.Sprint(nth), time.Now()
				_, err := d.Commit(context.Background(), key, reqresp.Record{Until: now.Add(time.Hour)}, now, func(tx reqresp.Tx) (*reqresp.Response, error) {
					tx.Put(key, make([]byte, 100))
					return &reqresp.Response{Body: make([]byte, 100)}, nil
				})
				return err
			})
		})
	}
}
