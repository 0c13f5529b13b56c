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

// sweepTells is how often a sweep reports its progress on standard error, in real time. A variable for its
// test.
var sweepTells = 5 * time.Second

// sweep runs a test with many seeds, each as a subtest, and reports at its end which of them failed alike.
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

// causes are the failed seeds of a sweep, by cause.
type causes struct {
	mu    sync.Mutex
	texts []string // in the order in which they occurred; "" is unknown
	seeds map[string][]uint64
	known map[uint64]bool
	whole int // number of reports printed
}

// wholeReports is how many seeds of a sweep get their whole report unconditionally. Later seeds that fail
// like them get one line each, so that a sweep with many failures is readable.
const wholeReports = 3

// holds reports whether the report of a failed run is not to be printed yet, since others of its sweep were.
// squall sweep gets all reports, since it keeps one for each cause.
func (r *runner) holds(o *outcome) bool {
	if r.found == nil || os.Getenv("SQUALL_SWEEP") != "" {
		return false
	}
	r.found.mu.Lock()
	defer r.found.mu.Unlock()
	r.found.whole++
	o.held = r.found.whole > wholeReports
	return o.held
}

// tellHeld prints the report that was held, and returns true, if it is worth it. It is if the run failed in a
// way that no earlier one did, or if its second run differed, so that the command may not produce the report
// again. Otherwise a line says how to get it.
func (r *runner) tellHeld(t *testing.T, o *outcome) bool {
	t.Helper()
	o.held = false
	second := o.second
	if o.trace == nil || r.check != checkNone && (!second.same || !second.failed || !second.order || r.found.leads(o.seed)) {
		t.Log(o.report)
		if text := scheduleText(o.schedule); text != "" {
			t.Log("sim: " + text)
		}
		return true
	}
	command, _, _ := strings.Cut(r.command(o.seed), "\n")
	t.Logf("sim: seed %d failed; for its report: %s", o.seed, command)
	if o.left != nil && !r.keep.late {
		t.Log(strings.TrimSpace(o.left.told()))
	}
	return false
}

// leads reports whether a seed was the first to fail for a known cause.
func (c *causes) leads(seed uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.texts {
		if text != "" && c.seeds[text][0] == seed {
			return true
		}
	}
	return false
}

// add records that a seed failed, the first time that it is called for it.
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

// summary describes what failed, the most frequent cause first, or returns "" if nothing did.
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
			text = "(each report gives the reason)"
		}
		fmt.Fprintf(&b, "    %s\n    %s\n", strings.ReplaceAll(text, "\n", "\n    "), strings.ReplaceAll(command(seeds[0]), "\n", "\n    "))
	}
	return b.String()
}

// listed returns the first seeds of a list, in the form that SQUALL_SEEDS takes.
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
