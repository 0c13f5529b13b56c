package patterntest_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

func TestSoundSystemsKeepTheContractOnLoopback(t *testing.T) {
	t.Parallel() // it only waits
	processors.All(t)
	t.Run("the example", func(t *testing.T) { patterntest.Loopback(t, journalAndReaders) })
}

// What is broken is broken there too.
func TestFlawsAreFoundOnLoopback(t *testing.T) {
	t.Parallel()
	processors.All(t)
	var all sync.WaitGroup
	var found atomic.Int64
	claims := patterntest.System{Recovery: 1500 * time.Millisecond}
	for _, row := range []struct {
		flaw    string
		system  patterntest.NewSystem
		story   string
		promise patterntest.Promise
	}{
		{"the client begins with what is new whenever it starts", polling{claims: claims, client: fromNow}.on,
			"the client leaves and comes back", patterntest.Complete},
		{"the server's lives share an epoch", polling{claims: claims, log: sameEpoch}.on,
			"the server restarts while the client is away", patterntest.Complete},
		{"the client resumes at its last event", polling{claims: claims, batch: resumesAtTheLast}.on,
			"the client restarts", patterntest.Once},
		{"the client trims white space", polling{claims: claims, batch: trims}.on,
			"events of all kinds", patterntest.Genuine},
		{"the server delivers what has expired", pushing{claims: claims, publish: livesFor(time.Hour)}.on,
			"events expire while the client is away", patterntest.Fresh},
	} {
		for _, s := range patterntest.LoopbackStories() {
			if s.Name != row.story {
				continue
			}
			folder := t.TempDir()
			all.Go(func() {
				n := sim.New(sim.Loopback())
				defer n.Close()
				breaches := patterntest.JudgeOnLoopback(n, row.system(n), folder, s)
				found.Add(1)
				assert.Equal(t, []patterntest.Promise{row.promise}, promises(breaches), "%s: %v", row.flaw, breaches)
			})
		}
	}
	all.Wait()
	require.EqualValues(t, 5, found.Load(), "there is no story of that name")
}
