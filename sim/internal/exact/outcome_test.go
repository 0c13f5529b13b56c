package exact_test

import (
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// Made before any test.
var (
	earlyMap    = numbered()
	earlyDraw   = rand.Uint64()
	earlySeed   = maphash.MakeSeed()
	earlyShared sync.Map
)

// numbered is a map of several tables.
func numbered() map[string]int {
	m := map[string]int{}
	for i := range 2000 {
		m[fmt.Sprint(i)] = i
	}
	return m
}

// An outcome is what the seed decides of a small program, each kind by itself.
type outcome struct {
	Schedule            exact.Schedule
	Work                uint64 // of goroutines with a lock and a channel
	Early, Table, Inner uint64 // orders of maps: made by a package, outside the bubble, in it
	Pointers            uint64
	SyncMap, SyncKeys   uint64 // made outside, and in the bubble, with pointers as keys
	EarlyDraw           uint64
	Draw, Hash          uint64
}

// orderOf is a hash of the values of a map in its order.
func orderOf[K comparable](m map[K]int) uint64 {
	h := fnv.New64a()
	for _, v := range m {
		fmt.Fprintln(h, v)
	}
	return h.Sum64()
}

func orderOfShared(m *sync.Map) uint64 {
	h := fnv.New64a()
	m.Range(func(_, v any) bool { fmt.Fprintln(h, v); return true })
	return h.Sum64()
}

func work() uint64 {
	var all sync.WaitGroup
	var mu sync.Mutex
	h := fnv.New64a()
	done := make(chan int)
	for i := range 20 {
		all.Go(func() {
			for range 20 {
				mu.Lock()
				fmt.Fprintln(h, i)
				mu.Unlock()
			}
			done <- i
		})
	}
	go func() { all.Wait(); close(done) }()
	for i := range done {
		mu.Lock()
		fmt.Fprintln(h, -i)
		mu.Unlock()
	}
	return h.Sum64()
}

// What a seed decides is the same in each run, and others decide otherwise; what was made before is the same with each. Of two builds,
// cmd/squall compares what is logged here.
func TestOutcome(t *testing.T) {
	sim.NeedExact(t)
	for i := range 100 {
		earlyShared.LoadOrStore(i, i)
	}
	table := numbered()
	policy, err := exact.ParsePolicy("")
	require.NoError(t, err)
	run := func(seed uint64) (o outcome) {
		synctest.Test(t, func(t *testing.T) {
			require.True(t, exact.Enrol(seed, policy))
			pointers := map[*int]int{}
			for i := range 2000 {
				pointers[new(int)] = i
			}
			var keys sync.Map
			for i := range 100 {
				keys.Store(new(int), i)
			}
			o = outcome{
				Work: work(), Early: orderOf(earlyMap), Table: orderOf(table), Inner: orderOf(numbered()), Pointers: orderOf(pointers), SyncMap: orderOfShared(&earlyShared), SyncKeys: orderOfShared(&keys),
				EarlyDraw: earlyDraw, Draw: rand.Uint64(), Hash: maphash.String(earlySeed, "x") ^ maphash.String(maphash.MakeSeed(), "x"),
			}
			o.Schedule = exact.Now()
		})
		return o
	}
	first := run(1)
	garbage := make([][]*int, 100) // so that objects of the second run lie elsewhere
	for i := range garbage {
		for range i {
			garbage[i] = append(garbage[i], new(int))
		}
	}
	require.Equal(t, first, run(1))
	runtime.KeepAlive(garbage)
	other := run(2)
	require.NotEqual(t, first.Schedule.Hash, other.Schedule.Hash)
	require.NotEqual(t, first.Work, other.Work)
	require.NotEqual(t, first.Early, other.Early)
	require.NotEqual(t, first.Inner, other.Inner)
	t.Logf("outcome: %+v", first)
}
