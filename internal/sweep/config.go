package sweep

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Config describes a sweep.
type Config struct {
	Packages    []string      // patterns of go list; none: the current folder
	In          string        // folder in which the go command runs; empty: the current one
	Run         string        // the tests, as in go test -run; empty: all
	Seeds       Seeds         // of all shards
	Shard       Shard         // which part of the seeds
	Dir         string        // the folder of the ledger, and of other ledgers of the same sweep
	Jobs        int           // processes at a time
	StopAtFirst bool          // end with the first finding
	Fresh       bool          // begin anew, and ignore the existing ledger
	Timeout     time.Duration // of a process, which runs for a few seconds unless a test hangs
	Build       []string      // flags of go test -c: -race, -tags=...
	Exact       *Exact        // how to build for exact mode; nil: for plain mode
	Short       bool          // -short
	Progress    func(Progress)
}

// An Exact describes a build for exact mode.
type Exact struct {
	Go     string   // the go command to call
	Env    []string // in addition to the environment of this process
	Flags  []string // after those of Build
	Policy string   // SQUALL_SCHED, the policy that chooses goroutines
}

// Seeds are the seeds from First to Last.
type Seeds struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Count returns the number of seeds.
func (s Seeds) Count() uint64 { return s.Last - s.First + 1 }

func (s Seeds) String() string {
	if s.First == s.Last {
		return strconv.FormatUint(s.First, 10)
	}
	return fmt.Sprintf("%d-%d", s.First, s.Last)
}

// mostSeeds is the largest number of seeds in a sweep: 10^15, which would take centuries.
const mostSeeds = 1_000_000_000_000_000

// ParseSeeds reads a number n, which means the seeds from 1 to n, or a range such as 1001-2000.
func ParseSeeds(text string) (Seeds, error) {
	low, high, isRange := strings.Cut(strings.TrimSpace(text), "-")
	if !isRange {
		low, high = "1", low
	}
	first, err1 := strconv.ParseUint(low, 10, 64)
	last, err2 := strconv.ParseUint(high, 10, 64)
	if err1 != nil || err2 != nil || first > last || last-first >= mostSeeds || !isRange && last == 0 {
		return Seeds{}, fmt.Errorf("-seeds %s: want a number of seeds, such as 1000 for 1 to 1000, or a range, such as 1001-2000, of at most %d", text, uint64(mostSeeds))
	}
	return Seeds{first, last}, nil
}

// A Shard is one of several parts of a sweep. The zero value is the whole sweep.
type Shard struct {
	Number int `json:"number"` // from 1
	Count  int `json:"count"`
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Number, s.Count) }

// mostShards is the largest number of shards in a sweep.
const mostShards = 100_000

// ParseShard reads "3/64", the third of 64 shards. "auto/64" takes the number from the environment of a Kubernetes indexed Job
// (JOB_COMPLETION_INDEX, from 0) or of a Slurm array (SLURM_ARRAY_TASK_ID). "auto" takes the count from there too, which only Slurm
// provides. An empty text means the whole sweep as one shard.
func ParseShard(text string, getenv func(string) string) (Shard, error) {
	if text == "" {
		return Shard{1, 1}, nil
	}
	number, count, counted := strings.Cut(text, "/")
	var s Shard
	var err error
	if counted {
		if s.Count, err = strconv.Atoi(count); err != nil || s.Count < 1 || s.Count > mostShards {
			return Shard{}, fmt.Errorf("-shard %s: want NUMBER/COUNT, such as 3/64, with a count from 1 to %d", text, mostShards)
		}
	}
	switch {
	case number == "auto":
		index, of, err := fromEnvironment(getenv)
		if err != nil {
			return Shard{}, fmt.Errorf("-shard %s: %w", text, err)
		}
		if s.Count == 0 {
			s.Count = of
		}
		s.Number = index + 1
		if s.Count == 0 {
			return Shard{}, fmt.Errorf("-shard %s: JOB_COMPLETION_INDEX does not give the number of shards: want auto/COUNT", text)
		}
	case !counted:
		return Shard{}, fmt.Errorf("-shard %s: want NUMBER/COUNT, such as 3/64, auto/COUNT or auto", text)
	default:
		if s.Number, err = strconv.Atoi(number); err != nil {
			return Shard{}, fmt.Errorf("-shard %s: want NUMBER/COUNT, such as 3/64, auto/COUNT or auto", text)
		}
	}
	if s.Number < 1 || s.Number > s.Count {
		return Shard{}, fmt.Errorf("-shard %s: the number %d is not from 1 to %d", text, s.Number, s.Count)
	}
	return s, nil
}

// fromEnvironment returns the index of a task, from 0, and the number of tasks, which is 0 if the environment does not contain it.
func fromEnvironment(getenv func(string) string) (index, count int, err error) {
	number := func(name string, byDefault int) int {
		text := getenv(name)
		if text == "" {
			return byDefault
		}
		n, e := strconv.Atoi(text)
		if e != nil && err == nil {
			err = fmt.Errorf("%s=%s: want a number", name, text)
		}
		return n
	}
	switch {
	case getenv("JOB_COMPLETION_INDEX") != "":
		index = number("JOB_COMPLETION_INDEX", 0)
	case getenv("SLURM_ARRAY_TASK_ID") != "":
		// Slurm numbers tasks from any number and with any step. In an array with gaps a task has no such index.
		id, first, step := number("SLURM_ARRAY_TASK_ID", 0), number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_STEP", 1)
		last := number("SLURM_ARRAY_TASK_MAX", id)
		count = number("SLURM_ARRAY_TASK_COUNT", 0)
		if err == nil && (step < 1 || (id-first)%step != 0 || count > 0 && (last-first)/step+1 != count) {
			err = fmt.Errorf("SLURM_ARRAY_TASK_ID=%d is one of %d tasks from %d to %d in steps of %d: want an array without gaps", id, count, first, last, step)
		}
		if err == nil {
			index = (id - first) / step
		}
	default:
		err = errors.New("neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID is set")
	}
	return index, count, err
}

// of returns the shard's part of the seeds. If ok is false, the shard has none.
func (s Shard) of(all Seeds) (part Seeds, ok bool) {
	n, k := all.Count(), uint64(s.Number-1)
	count := uint64(s.Count)
	bound := func(k uint64) uint64 { return n/count*k + min(k, n%count) }
	from, to := bound(k), bound(k+1)
	return Seeds{all.First + from, all.First + to - 1}, to > from
}

// environment returns the environment of a process that runs tests.
func environment(seeds Seeds) []string {
	env := append(os.Environ(), "SQUALL_SEED=", "SQUALL_SEEDS="+seeds.list(), "SQUALL_SWEEP=1", "SQUALL_CHECK=0", "GOMAXPROCS=1")
	if os.Getenv("SQUALL_ARTIFACTS") == "" {
		env = append(env, "SQUALL_ARTIFACTS=off") // in CI too: squall report writes them for a finding
	}
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC=400") // each process has a processor's share of the memory, and its heap is small
	}
	return env
}

// list returns the value of SQUALL_SEEDS, in which a single number would be a count.
func (s Seeds) list() string { return fmt.Sprintf("%d-%d", s.First, s.Last) }
