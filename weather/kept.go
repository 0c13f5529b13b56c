package weather

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/storm"
)

// variable is the environment variable with the storm of one run, as in a line
// of a report.
const variable = "SQUALL_WEATHER"

// calm is its value for a storm without faults.
const calm = "calm"

// words returns a storm as text, one fault a line: when it begins, how long it lasts, its kind, and
// its place.
func words(s schedule) (lines []string) {
	for _, x := range s {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%v %v %s %s %s", x.At, x.Lasts, all[x.What.kind].Name, x.What.from, x.What.to)))
	}
	return lines
}

// line returns a storm as one line.
func line(s schedule) string {
	if len(s) == 0 {
		return calm
	}
	return strings.Join(words(s), ", ")
}

// readLine parses the result of line.
func readLine(text string) (s schedule, err error) {
	if strings.TrimSpace(text) == calm {
		return schedule{}, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		x, err := readFault(item)
		if err != nil {
			return nil, err
		}
		s = append(s, x)
	}
	return s, nil
}

// readFault parses a line of words.
func readFault(text string) (x storm.Fault[what], err error) {
	f := strings.Fields(text)
	if len(f) < 4 {
		return x, fmt.Errorf("%q has %d words: want when a fault begins, how long it lasts, its kind and where it is, such as 2s 100ms crash server", strings.TrimSpace(text), len(f))
	}
	for i, d := range []*time.Duration{&x.At, &x.Lasts} {
		if *d, err = time.ParseDuration(f[i]); err != nil || *d < time.Duration(i) || *d > time.Hour*24*365 {
			return x, fmt.Errorf("%q: %q is not the time at which a fault begins or for which it lasts: want one such as 1m5.3s", strings.TrimSpace(text), f[i])
		}
	}
	if x.What.kind = kindOf(f[2]); x.What.kind < 0 {
		return x, fmt.Errorf("%q: %q is not a fault: want one of %s", strings.TrimSpace(text), f[2], kindNames())
	}
	ends := 2
	if all[x.What.kind].Of == storm.OfHost {
		ends = 1
	}
	if len(f) != 3+ends {
		return x, fmt.Errorf("%q names %d hosts or routers: want %d", strings.TrimSpace(text), len(f)-3, ends)
	}
	x.What.from = f[3]
	if ends == 2 {
		x.What.to = f[4]
	}
	return x, nil
}

// heading is the first line of a file, with the version of its format.
const heading = "squall weather 1"

// A kept is the storm in a file.
type kept struct {
	seed uint64
	is   schedule
}

// text returns the content of the file. why is the failure in the storm.
func (k kept) text(test, why string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n# In this storm %s failed: %s\nseed %d\n", heading, test, why, k.seed)
	for _, l := range words(k.is) {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

// readKept parses the content of a file.
func readKept(text string) (k kept, err error) {
	seeded := false
	k.is = schedule{}
	for i, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		l = strings.TrimSpace(l)
		seed, isSeed := strings.CutPrefix(l, "seed ")
		switch {
		case i == 0 && l != heading:
			return k, fmt.Errorf("line 1 is %q: want %q, the version that this squall reads", l, heading)
		case i == 0, l == "", strings.HasPrefix(l, "#"):
		case isSeed && !seeded:
			if k.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
				return k, fmt.Errorf("line %d: %q: want a number from 0 to 2^64-1", i+1, l)
			}
			seeded = true
		default:
			x, err := readFault(l)
			if err != nil {
				return k, fmt.Errorf("line %d: %w", i+1, err)
			}
			k.is = append(k.is, x)
		}
	}
	if !seeded {
		return k, errors.New(`it has no seed: want a line such as "seed 7"`)
	}
	return k, nil
}

// thisDir is the folder of the package under test, in which go test starts.
var thisDir, _ = os.Getwd()

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// folder returns where the storms of a test are kept.
func folder(test string) string {
	name := notInNames.ReplaceAllString(test, "_")
	if name != test { // two tests are not to share a folder
		h := fnv.New32a()
		h.Write([]byte(test))
		name += fmt.Sprintf("-%08x", h.Sum32())
	}
	return filepath.Join("testdata", "weather", name)
}

// keep writes the storm to a file named by its seed, and returns the file's path
// within the package.
func (k kept) keep(test, why string) (path string, err error) {
	dir := folder(test)
	if err := os.MkdirAll(filepath.Join(thisDir, dir), 0o777); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%d.storm", k.seed))
	temp, err := os.CreateTemp(filepath.Join(thisDir, dir), "new-*")
	if err != nil {
		return "", err
	}
	_, err = temp.WriteString(k.text(test, why))
	if err := errors.Join(err, temp.Chmod(0o666), temp.Close()); err != nil {
		os.Remove(temp.Name())
		return "", err
	}
	return path, os.Rename(temp.Name(), filepath.Join(thisDir, path))
}

// keptFiles returns the paths, within the package, of the storms that are kept
// for a test.
func keptFiles(test string) (paths []string) {
	found, _ := filepath.Glob(filepath.Join(thisDir, folder(test), "*.storm"))
	for _, path := range found {
		if rel, err := filepath.Rel(thisDir, path); err == nil {
			paths = append(paths, rel)
		}
	}
	return paths
}
