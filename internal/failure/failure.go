// Package failure reads the output of a failed Go test: where the test failed, with what text, and whether two tests failed alike. Package
// sim uses it for the seeds of one go test, and sweeps use it for the output of processes. It knows the formats of package testing, of
// testify and of sim.Explore.
package failure

import (
	"regexp"
	"strings"
)

// OutputOfRun is the line of a report of sim.Explore after which the output of the run that it describes begins.
const OutputOfRun = "Output of the test:"

// How reports of sim.Explore begin: all, and one that describes no failure.
const (
	exploring    = "sim: Explore: "
	foundNothing = exploring + "no run failed"
)

var (
	line        = regexp.MustCompile(`^\s+(\w[^\s:]*\.go:\d+): ?(.*)$`)
	testifyPart = regexp.MustCompile(`^\s+(Error|Messages):\s+(.*)$`)
	testifyMore = regexp.MustCompile(`^\s*\t {6,}\t?(.*)$`)
	explored    = regexp.MustCompile(`^` + exploring + `\d+ of \d+ runs failed`)
	// A number, a duration as Go writes it, or a position in the source, which distinguishes one failure from another.
	number = regexp.MustCompile(`\w[^\s:]*\.go:\d+|0x[0-9a-f]+|(\d+(\.\d+)?(h|ms|m|s|µs|ns))+\b|\d+(\.\d+)?`)
)

// Line returns the position in the source with which a line of output begins, and the text after it.
func Line(text string) (where, what string, ok bool) {
	m := line.FindStringSubmatch(strings.TrimRight(text, "\r\n"))
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// First returns where a test first failed, and with what text. Of testify's output, the text is the error and the message. where is empty
// if the test failed without a message.
func First(output string) (where, what string) {
	var parts []string
	more := false
	for text := range strings.Lines(output) {
		if at, said, ok := Line(text); ok && !strings.HasPrefix(said, foundNothing) {
			if where != "" {
				break
			}
			where = at
			if said = strings.TrimSpace(said); said != "" {
				parts = append(parts, said)
			}
			continue
		}
		if where == "" || len(parts) == 2 && !more {
			continue
		}
		text = strings.TrimRight(text, "\r\n")
		if m := testifyMore.FindStringSubmatch(text); m != nil && more {
			parts[len(parts)-1] += " " + strings.TrimSpace(m[1])
		}
		more = false
		if m := testifyPart.FindStringSubmatch(text); m != nil {
			parts = append(parts, strings.TrimSpace(m[2]))
			more = parts[len(parts)-1] == "Received unexpected error:"
		}
	}
	return where, strings.Join(parts, " ")
}

// Cause returns a text that is the same for failures that are alike: the result of First, with a # for each number in the text. It is empty
// if the test failed without a message. Of a report of sim.Explore, the text is the cause of the first run that the report describes, because
// how many of the runs failed differs from seed to seed.
func Cause(output string) string {
	where, what := First(output)
	if where == "" {
		return ""
	}
	if explored.MatchString(what) {
		_, run, _ := strings.Cut(output, OutputOfRun)
		what = exploring + Reason(run)
	}
	return where + ": " + Alike(what)
}

// Reason returns the result of First in one text. If the test failed without a message, as when its process died or the race detector
// reported something, it is the first line of the output that has words.
func Reason(output string) string {
	if where, what := First(output); where != "" {
		return where + ": " + what
	}
	line, _, _ := strings.Cut(strings.TrimLeft(output, "= \t\r\n"), "\n")
	return strings.TrimSpace(line)
}

// Alike returns a text with a # for each number and duration in it, except those in positions in the source.
func Alike(text string) string {
	return number.ReplaceAllStringFunc(text, func(n string) string {
		if strings.Contains(n, ".go:") {
			return n
		}
		return "#"
	})
}

// Said returns the messages that a test printed, each with the lines that belong to it.
func Said(output string) (all []string) {
	in := false
	for text := range strings.Lines(output) {
		text = strings.TrimRight(text, "\r\n")
		if _, what, ok := Line(text); ok && indented(text) {
			all = append(all, what)
			in = true
			continue
		}
		if rest, more := strings.CutPrefix(text, "        "); in && more {
			all[len(all)-1] += "\n" + rest
		} else {
			in = false
		}
	}
	for i, said := range all {
		all[i] = strings.TrimSpace(said)
	}
	return all
}

// indented reports whether a line is indented as package testing indents a test's messages: four spaces for each level.
func indented(text string) bool { return (len(text)-len(strings.TrimLeft(text, " ")))%4 == 0 }
