package sim_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A channelLock is a lock for which goroutines wait in a way that does not stop the clock.
type channelLock chan struct{}

func (l channelLock) Lock()   { l <- struct{}{} }
func (l channelLock) Unlock() { <-l }

// What a program does that holds a mutex while it waits for the network does not depend on how the
// runtime counts the goroutines that wait for the mutex.
func TestLocksHeldAcrossTheNetwork(t *testing.T) {
	const writers, size = 4, 200_000
	var read sync.RWMutex
	for _, row := range []struct {
		name   string
		lock   sync.Locker
		frozen bool
	}{
		{"channel", make(channelLock, 1), false}, // made in the bubble, below
		{"Mutex", new(sync.Mutex), true},
		{"RWMutex", new(sync.RWMutex), true},
		{"a mutex of a package", &packageLock, true},
		{"a reader", readerLock{&read}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			trace := func(row sync.Locker, frozen bool) (hash uint64) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					if _, ok := row.(channelLock); ok {
						row = make(channelLock, 1)
					}
					client, server := n.Host("client"), n.Host("server")
					n.Link(client, server, netem.Config{Delay: 5 * ms, Loss: netem.DropList{100, 101, 300}})
					accept(listen(t, server, ":7"), echo)
					c := dial(t, client, "server:7")
					go func() { // which keeps time
						for range 1000 {
							time.Sleep(ms)
						}
					}()
					var all sync.WaitGroup
					for i := range writers {
						all.Go(func() {
							time.Sleep(time.Duration(1 + i))
							row.Lock()
							defer row.Unlock()
							go c.Write(make([]byte, size))
							for left := size; left > 0; {
								k, err := c.Read(make([]byte, size))
								require.NoError(t, err)
								left -= k
							}
						})
					}
					all.Wait()
					require.Equal(t, frozen && !sim.Exact(), n.Frozen() > 0)
					hash = n.Trace().Hash()
				})
				return hash
			}
			require.Equal(t, trace(make(channelLock, 1), false), trace(row.lock, row.frozen))
		})
	}
}

var packageLock sync.Mutex

// A readerLock is held by a reader, and the goroutine that waits for it wants to write.
type readerLock struct{ *sync.RWMutex }

// Timers, deadlines and synctest.Wait work while goroutines wait for a lock.
func TestTimeGoesOnWhileALockIsHeld(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		link := n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: ms})
		accept(listen(t, n.Host("b"), ":7"), echo)
		c := dial(t, n.Host("a"), "b:7")
		link.Down()
		start := time.Now()

		var mu sync.Mutex
		var all sync.WaitGroup
		took := make([]atomic.Int64, 20)
		for i := range took {
			all.Go(func() {
				time.Sleep(time.Duration(i))
				mu.Lock()
				defer mu.Unlock()
				time.Sleep(time.Second)
				took[i].Store(int64(time.Since(start)))
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*ms)
		defer cancel()
		<-ctx.Done()
		require.Equal(t, 2500*ms, time.Since(start))
		synctest.Wait() // the first who slept have ended, others wait for the lock
		require.NotZero(t, took[1].Load())
		require.Zero(t, took[2].Load())
		c.SetReadDeadline(start.Add(4 * time.Second))
		_, err := c.Read(make([]byte, 1))
		require.ErrorContains(t, err, "i/o timeout")
		require.Equal(t, 4*time.Second, time.Since(start))
		all.Wait()
		for i := range took {
			require.EqualValues(t, time.Duration(i+1)*time.Second, took[i].Load())
		}
		require.Equal(t, !sim.Exact(), n.Frozen() > 0)
	})
}

// Tests that run at the same time and share a lock wait for each other.
func TestALockIsSharedByTests(t *testing.T) {
	var mu sync.Mutex
	var in atomic.Int32
	for range 3 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				for range 20 {
					mu.Lock()
					require.EqualValues(t, 1, in.Add(1))
					for start := n.Seed(); start < 200_000; start++ { // some work
						runtime.KeepAlive(start)
					}
					in.Add(-1)
					mu.Unlock()
					time.Sleep(time.Second)
				}
				require.Equal(t, 20*time.Second, n.Elapsed())
			})
		})
	}
}

// What a test leaves behind in which several goroutines waited at once does not keep its network in
// memory.
func TestTheNetworkOfAFrozenTestIsGarbage(t *testing.T) {
	var network weak.Pointer[sim.Network]
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		network = weak.Make(n)
		accept(listen(t, n.Host("b"), ":7"), echo)
		dial(t, n.Host("a"), "b:7")
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				mu.Lock()
				defer mu.Unlock()
				time.Sleep(time.Second)
			})
		}
		all.Wait()
		require.Equal(t, !sim.Exact(), n.Frozen() > 0)
	})
	require.Eventually(t, func() bool {
		runtime.GC()
		return network.Value() == nil
	}, 10*time.Second, time.Millisecond)
}

// A goroutine that waits for the garbage collector goes on without help.
func TestCollectionsOfGarbageAreNoFreeze(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		accept(listen(t, n.Host("b"), ":7"), echo)
		c := dial(t, n.Host("a"), "b:7")
		keep := make([][]*int, 64)
		var all sync.WaitGroup
		for i := range keep {
			all.Go(func() {
				for range 3 {
					keep[i] = nil
					for range 2000 {
						keep[i] = append(keep[i], new(int))
					}
					runtime.GC()
				}
			})
		}
		all.Wait()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		require.Zero(t, n.Frozen())
	})
}

func TestVictimDeadlock(t *testing.T) {
	victim(t)
	t.Run("deadlock", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: ms})
			accept(listen(t, n.Host("b"), ":7"), echo)
			dial(t, n.Host("a"), "b:7") // whose probes go on
			var s store
			never := make(chan int)
			go s.hold(never)
			time.Sleep(time.Nanosecond)
			s.want()
		})
	})
	t.Run("next", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

type store struct{ mu sync.Mutex }

func (s *store) hold(c chan int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	<-c
}

func (s *store) want() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

// A lock that is never released fails its test. The report names the goroutines that wait and the
// one that holds the lock.
func TestDeadlockIsReported(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimDeadlock")
	require.True(t, failed)
	requireInOrder(t, out, "nothing but keep-alive happened for 30 days of virtual time",
		"waits for a lock in sim_test.(*store).want", "freeze_test.go:",
		"probably holds it:", "sim_test.(*store).hold", "freeze_test.go:",
		"of virtual time, seed 1", "[S]", "To repeat it:", "--- PASS: TestVictimDeadlock/next")
	require.NotContains(t, out, "panic:")
	require.NotContains(t, out, "(*weight)")
}

var outside = make(chan int)

func TestVictimFrozen(t *testing.T) {
	victim(t)
	sim.SetForeignPatience(time.Second / 2)
	t.Run("frozen", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			accept(listen(t, n.Host("b"), ":7"), echo)
			dial(t, n.Host("a"), "b:7").Write([]byte("x"))
			time.Sleep(time.Second)
			waitOutside()
		})
	})
	t.Run("Try", func(t *testing.T) {
		err := sim.Try(t, func(n *sim.Network) error {
			n.Host("a")
			waitOutside()
			return nil
		})
		require.ErrorContains(t, err, "waitOutside")
		require.ErrorContains(t, err, "SQUALL_SEED=1")
	})
	t.Run("next", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

func waitOutside() { <-outside }

// A test that waits for something outside is abandoned after some seconds of real time. The other
// tests run.
func TestWatchdogNamesTheFrozenGoroutine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, failed := outputOf(t, "TestVictimFrozen")
	require.True(t, failed)
	requireInOrder(t, out, "virtual time stands still", "chan receive", "waitOutside", "of virtual time, seed 1", "[S]", "To repeat it:",
		"--- FAIL: TestVictimFrozen/frozen", "--- PASS: TestVictimFrozen/Try", "--- PASS: TestVictimFrozen/next")
	require.NotContains(t, out, "panic:")
}

// Parallel tests that share a lock do not show whose clock must advance. While the holder of the
// lock runs, or its clock advances, the others wait for it, and their clocks stand still.
func TestVictimSharedLock(t *testing.T) {
	victim(t)
	sim.SetForeignPatience(time.Second)
	var shared sync.Mutex
	sink := 0
	inTwo := func(name string, f func(n *sim.Network)) {
		t.Run(name, func(t *testing.T) {
			for i := range 2 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					sim.Test(t, func(t *testing.T, n *sim.Network) {
						f(n)
						require.Less(t, n.Elapsed(), time.Minute)
					})
				})
			}
		})
	}
	inTwo("busy", func(*sim.Network) {
		shared.Lock()
		defer shared.Unlock()
		for range fewerUnderRace(300_000_000) { // some tenths of a second of real time
			sink++
		}
	})
	inTwo("sleeps", func(*sim.Network) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				shared.Lock()
				time.Sleep(ms)
				shared.Unlock()
				time.Sleep(ms)
			})
		}
		all.Wait()
	})
}

func TestLocksThatParallelTestsShare(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, failed := outputOf(t, "TestVictimSharedLock")
	requireInOrder(t, out, "--- PASS: TestVictimSharedLock/busy")
	if failed { // else one has come and gone before the other
		requireInOrder(t, out, "tests that run in parallel wait for the same lock", "freeze_test.go:", "Do not share the lock between tests")
		require.NotContains(t, out, "17520h")
	}
}

// In exact mode no clock advances for a lock that nobody in the test holds.
func TestVictimLockHeldOutside(t *testing.T) {
	victim(t)
	sim.SetForeignPatience(time.Second / 2)
	var mu sync.Mutex
	mu.Lock()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		time.AfterFunc(time.Hour, func() {})
		mu.Lock()
	})
}

func TestALockThatIsHeldOutsideInExactMode(t *testing.T) {
	sim.NeedExact(t)
	t.Parallel()
	out, failed := outputOf(t, "TestVictimLockHeldOutside")
	require.True(t, failed)
	requireInOrder(t, out, "a lock that is held outside the test and not released:", "freeze_test.go:", "The test was abandoned.")
	require.NotContains(t, out, "fatal error")
}

func TestTryGoesOnAfterALockThatIsNeverReleased(t *testing.T) {
	t.Parallel()
	out, _ := outputOf(t, "TestVictimTryLock")
	require.Contains(t, out, "--- PASS: TestVictimTryLock")
}

func TestVictimTryLock(t *testing.T) {
	victim(t)
	for range 2 {
		err := sim.Try(t, func(n *sim.Network) error {
			n.Host("a")
			var s store
			go s.hold(nil)
			time.Sleep(1)
			go s.want()
			time.Sleep(1)
			go s.want()
			return nil
		})
		require.ErrorContains(t, err, "3 goroutines of the test still run an hour after the network was closed")
		require.ErrorContains(t, err, "(*store).want")
		require.NotContains(t, err.Error(), "the test hangs", "it is reported once")
		require.NotContains(t, err.Error(), "weight")
	}
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		time.Sleep(time.Hour)
		return nil
	}))
}

// Try reports a loop that never waits, too.
func TestTryReturnsALoopWithoutAPause(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	t.Parallel()
	out, _ := outputOf(t, "TestVictimTrySpin")
	require.Contains(t, out, "--- PASS: TestVictimTrySpin")
}

func TestVictimTrySpin(t *testing.T) {
	victim(t)
	sim.SetSpinLimit(20_000)
	err := sim.Try(t, func(n *sim.Network) error {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{Delay: ms}).Reject()
		dialWithoutPause(n.Host("a"), time.Now().Add(time.Hour))
		return nil
	})
	require.ErrorContains(t, err, "virtual time hardly moves")
	require.ErrorContains(t, err, "dialWithoutPause")
	require.ErrorContains(t, err, "To repeat it:")
	sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
}

// As long as no bubble freezes because of its own locks, the watchdog looks seldom, since each look
// wakes a processor.
func TestHowOftenTheWatchdogLooks(t *testing.T) {
	want := 1 + 7 + 60 // after 1 ms; after 0.2 ms more, and always twice as long, to 12.8 ms; every 16 ms
	if sim.Exact() {
		want = 10
	}
	require.Equal(t, want, sim.Looks(time.Second))
}
