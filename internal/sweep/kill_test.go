package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hunterVariable has this binary run a sweep over the prey, as JSON of its binaries and of where its ledger is.
const hunterVariable = "SQUALL_HUNTER"

type hunting struct {
	Dir                    string
	Pkg, Folder, File, Sum string
}

// hunted are the seeds of a sweep that is killed, in ranges so short that it writes its ledger all the time.
var huntedSeeds = Seeds{1, 400}

func (h hunting) run(ctx context.Context) (*Result, error) {
	chunkTakes = 30 * time.Millisecond
	defer func() { chunkTakes = 3 * time.Second }()
	c := Config{Seeds: huntedSeeds, Shard: Shard{1, 1}, Dir: h.Dir, Jobs: 2, Timeout: time.Minute}
	return runBuilt(ctx, c, []binary{{pkg: h.Pkg, dir: h.Folder, file: h.File, sum: h.Sum}})
}

// hunter is a process that is killed, and ends for SIGINT as the command does.
func hunter() int {
	var h hunting
	err := json.Unmarshal([]byte(os.Getenv(hunterVariable)), &h)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		_, err = h.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// However often a sweep is killed or interrupted, and at whatever instant, what it has found when it is done at last is what it
// finds when it is left alone, each of it once. SQUALL_KILLS=30 does it with more instants.
func TestASweepThatIsKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process can be sent an interrupt there")
	}
	rounds := 2
	if text := os.Getenv("SQUALL_KILLS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err, "SQUALL_KILLS=%s: want a number of rounds", text)
	}
	t.Setenv("SQUALL_PREY", "1")
	h := hunting{Pkg: prey[0].pkg, Folder: prey[0].dir, File: prey[0].file, Sum: prey[0].sum, Dir: t.TempDir()}
	began := time.Now()
	whole, err := h.run(t.Context())
	require.NoError(t, err)
	requirePrey(t, whole, int(huntedSeeds.Count()))
	takes := time.Since(began)
	cut := 0
	for round := 0; round < rounds || cut == 0 && round < 10*rounds; round++ { // on a busy machine each may be done before it is cut off
		h.Dir = t.TempDir()
		for k := range 2 {
			text, err := json.Marshal(h)
			require.NoError(t, err)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), hunterVariable+"="+string(text))
			cmd.Stderr = os.Stderr
			require.NoError(t, cmd.Start())
			time.Sleep(time.Duration(rand.Int64N(int64(takes)))) // the instant is not to be the same each time
			sent := cmd.Process.Signal([]os.Signal{syscall.SIGINT, syscall.SIGKILL}[(round+k)%2])
			if err := cmd.Wait(); sent == nil && err != nil {
				cut++
			}
		}
		r, err := h.run(t.Context())
		require.NoError(t, err)
		whole.Heading, r.Heading = Heading{}, Heading{}
		for i := range r.Causes {
			require.NotEmpty(t, r.Causes[i].Output)
			whole.Causes[i].Output = r.Causes[i].Output // which tells real times
		}
		require.Equal(t, whole, r)
	}
	t.Logf("%d were cut off", cut)
	require.NotZero(t, cut)
}
