package sim

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/count"
)

// sweepTells is how often a sweep says on stderr how far it is, in real time. A variable
// for its test.
var sweepTells = 5 * time.Second

// sweep runs a test with many seeds, each as a subtest, and says at its end which of them
// failed alike.
func (r *runner) sweep(t *testing.T, seeds []uint64) {
	t.Helper()
	var found causes
	r.found = &found
	start, told := time.Now(), time.Now()
	for i, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					found.add("", seed) // unless its cause is known
				}
			}()
			r.run(t, seed)
		})
		if now := time.Now(); now.Sub(told) >= sweepTells {
			told = now
			tellProgress(os.Stderr, r.name, i+1, len(seeds), found.failed(), now.Sub(start))
		}
	}
	if text := found.summary(len(seeds), r.command); text != "" {
		t.Log(text)
	}
}

func tellProgress(w io.Writer, name string, done, all, failed int, took time.Duration) {
	fmt.Fprintf(w, "sim: %s: %d of %d seeds in %v, %d failed\n", name, done, all, took.Round(time.Second), failed)
}

// causes are the seeds of a sweep that failed, by why they did.
type causes struct {
	mu    sync.Mutex
	texts []string // in the order in which they were met; "" is unknown
	seeds map[string][]uint64
	known map[uint64]bool
}

// add notes that a seed failed, the first time that it is told.
func (c *causes) add(cause string, seed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[seed] {
		return
	}
	if c.known == nil {
		c.known, c.seeds = map[uint64]bool{}, map[string][]uint64{}
	}
	c.known[seed] = true
	if c.seeds[cause] == nil {
		c.texts = append(c.texts, cause)
	}
	c.seeds[cause] = append(c.seeds[cause], seed)
}

func (c *causes) failed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known)
}

// seedsShown is how many seeds of a cause a summary names.
const seedsShown = 20

// summary says what failed, what most seeds failed for first, or returns "" if nothing did.
func (c *causes) summary(all int, command func(uint64) string) string {
	if len(c.known) == 0 {
		return ""
	}
	slices.SortStableFunc(c.texts, func(a, b string) int { return len(c.seeds[b]) - len(c.seeds[a]) })
	var b strings.Builder
	fmt.Fprintf(&b, "sim: %d of %d seeds failed, in %s:\n", len(c.known), all, count.Of(len(c.texts), "way", "ways"))
	for _, text := range c.texts {
		seeds := c.seeds[text]
		fmt.Fprintf(&b, "\n%s: %s\n", count.Of(len(seeds), "seed", "seeds"), listed(seeds))
		if text == "" {
			text = "(what for, the report of each says)"
		}
		fmt.Fprintf(&b, "    %s\n    %s\n", strings.ReplaceAll(text, "\n", "\n    "), strings.ReplaceAll(command(seeds[0]), "\n", "\n    "))
	}
	return b.String()
}

// listed are the first seeds of a list, in the form that SQUALL_SEEDS takes.
func listed(seeds []uint64) string {
	var b strings.Builder
	for i, seed := range seeds[:min(len(seeds), seedsShown)] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, seed)
	}
	if more := len(seeds) - seedsShown; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
