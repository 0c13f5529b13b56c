package eventlog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

var payload = make([]byte, 100)

// The reference is a slice behind a mutex: the least that any log could do.
func BenchmarkAppend(b *testing.B) {
	b.Run("reference", func(b *testing.B) {
		var mu sync.Mutex
		var entries []eventlog.Entry
		for b.Loop() {
			mu.Lock()
			entries = append(entries, eventlog.Entry{Topic: "t", Data: append([]byte(nil), payload...)})
			mu.Unlock()
		}
	})
	for _, s := range subjects[:2] {
		for _, batch := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/batch=%d", s.name, batch), func(b *testing.B) {
				l := s.open(b, eventlog.Options{})
				defer l.Close()
				entries := make([]eventlog.Entry, batch)
				for i := range entries {
					entries[i] = eventlog.Entry{Topic: "t", Data: payload}
				}
				for b.Loop() {
					_, err := l.Append(context.Background(), entries...)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

// Publishers that each wait for their entry to be on the disk. The reference is a
// transaction of bbolt for each. With TMPDIR on a disk: in memory nothing waits.
func BenchmarkPublishers(b *testing.B) {
	path := func(b *testing.B) string { return filepath.Join(b.TempDir(), "log") }
	for _, n := range []int{1, 8, 64} {
		publish := func(b *testing.B, one func() error) {
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for range n {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := one(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		}
		b.Run(fmt.Sprintf("reference/publishers=%d", n), func(b *testing.B) {
			db, err := bbolt.Open(path(b), 0o600, nil)
			require.NoError(b, err)
			defer db.Close()
			publish(b, func() error {
				return db.Update(func(tx *bbolt.Tx) error {
					entries, err := tx.CreateBucketIfNotExists([]byte("entries"))
					if err != nil {
						return err
					}
					offset, _ := entries.NextSequence()
					return entries.Put(binary.BigEndian.AppendUint64(nil, offset), payload)
				})
			})
		})
		b.Run(fmt.Sprintf("disk/publishers=%d", n), func(b *testing.B) {
			l := openDisk(b, path(b), eventlog.Options{})
			defer l.Close()
			publish(b, func() error {
				_, err := l.Append(context.Background(), eventlog.Entry{Topic: "t", Data: payload})
				return err
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const kept = 10_000
	absent := make([]string, 100)
	for i := range absent {
		absent[i] = fmt.Sprint("absent", i)
	}
	for _, s := range subjects[:2] {
		l := s.open(b, eventlog.Options{Epoch: epoch})
		defer l.Close()
		entries := make([]eventlog.Entry, kept)
		for i := range entries {
			entries[i] = eventlog.Entry{Topic: fmt.Sprint("t", i%100), Data: payload}
		}
		_, err := l.Append(context.Background(), entries...)
		require.NoError(b, err)
		for _, c := range []struct {
			name string
			from uint64
			q    eventlog.Query
		}{
			{"nothing new", kept, eventlog.Query{}},
			{"newest entry", kept - 1, eventlog.Query{}},
			{"page of 100", kept / 2, eventlog.Query{MaxEntries: 100}},
			{"one topic of 100 in 10,000", 0, eventlog.Query{Topics: []string{"t7"}}},
			{"100 absent topics in 10,000", 0, eventlog.Query{Topics: absent}},
			{"one topic of 100 in 10,000, by Match", 0, eventlog.Query{Match: func(topic string) bool { return topic == "t7" }}},
		} {
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					_, err := l.After(at(c.from), c.q)
					require.NoError(b, err)
				}
			})
		}
	}
}

// A batch of many entries wakes a watch once, and visits it once.
func BenchmarkWakeByBatch(b *testing.B) {
	for _, matching := range []int{0, 1000} {
		b.Run(fmt.Sprintf("memory/batch=1000/matching=%d", matching), func(b *testing.B) {
			l := eventlog.NewMemory(eventlog.Options{})
			defer l.Close()
			entries := make([]eventlog.Entry, 1000)
			for i := range entries {
				entries[i].Topic = fmt.Sprint("t", i%2)
			}
			for i := range matching {
				l.Watch(fmt.Sprint("t", i%2))
			}
			for b.Loop() {
				_, _ = l.Append(context.Background(), entries...)
			}
		})
	}
}

// One append wakes the watches of its topic; the cost of the others must not show.
// The reference sends to as many channels in a loop.
func BenchmarkWake(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("reference/matching=%d", n), func(b *testing.B) {
			channels := make([]chan struct{}, n)
			for i := range channels {
				channels[i] = make(chan struct{}, 1)
			}
			for b.Loop() {
				for _, c := range channels {
					c <- struct{}{}
				}
				for _, c := range channels {
					<-c
				}
			}
		})
		for _, others := range []int{0, 10_000} {
			b.Run(fmt.Sprintf("memory/matching=%d/others=%d", n, others), func(b *testing.B) {
				l := eventlog.NewMemory(eventlog.Options{})
				defer l.Close()
				for i := range others {
					l.Watch(fmt.Sprint("other", i))
				}
				watches := make([]*eventlog.Watch, n)
				for i := range watches {
					watches[i] = l.Watch("t")
				}
				for b.Loop() {
					_, _ = l.Append(context.Background(), eventlog.Entry{Topic: "t", Data: payload})
					for _, w := range watches {
						<-w.C
					}
				}
			})
		}
	}
}

func BenchmarkOpenDisk(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	l := openDisk(b, path, eventlog.Options{})
	_, err := l.Append(context.Background(), make([]eventlog.Entry, 10_000)...)
	require.NoError(b, err)
	require.NoError(b, l.Close())
	for b.Loop() {
		require.NoError(b, openDisk(b, path, eventlog.Options{}).Close())
	}
}
