// Package failure reads what a Go test that failed has printed: where it failed, with what text, and whether two failed alike. Package
// sim reads it of the seeds of one go test, and sweeps of processes. It knows the forms of package testing and of testify.
package failure

import (
	"regexp"
	"strings"
)

var (
	line        = regexp.MustCompile(`^\s+(\w[^\s:]*\.go:\d+): ?(.*)$`)
	testifyPart = regexp.MustCompile(`^\s+(Error|Messages):\s+(.*)$`)
	number      = regexp.MustCompile(`0x[0-9a-f]+|\d+(\.\d+)?`)
)

// Line is the position in the source that a line of output begins with, and the text after it.
func Line(text string) (where, what string, ok bool) {
	m := line.FindStringSubmatch(strings.TrimRight(text, "\r\n"))
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// First is where a test failed first and with what text. Of what testify prints the text is the error and the message. where is empty
// if the test failed without a word.
func First(output string) (where, what string) {
	var parts []string
	for text := range strings.Lines(output) {
		if at, said, ok := Line(text); ok {
			if where != "" {
				break
			}
			where = at
			if said = strings.TrimSpace(said); said != "" {
				parts = append(parts, said)
			}
			continue
		}
		if where == "" || len(parts) == 2 {
			continue
		}
		if m := testifyPart.FindStringSubmatch(strings.TrimRight(text, "\r\n")); m != nil {
			parts = append(parts, strings.TrimSpace(m[2]))
		}
	}
	return where, strings.Join(parts, " ")
}

// Cause is the same for failures that are alike: First, with a # for each number in the text. It is empty if the test failed without a
// word.
func Cause(output string) string {
	where, what := First(output)
	if where == "" {
		return ""
	}
	return where + ": " + Alike(what)
}

// Alike is a text with a # for each number in it.
func Alike(text string) string { return number.ReplaceAllString(text, "#") }

// Said are the things that a test said, each with the lines that belong to it.
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

// indented says whether a line is as package testing indents what a test says: four spaces for each level.
func indented(text string) bool { return (len(text)-len(strings.TrimLeft(text, " ")))%4 == 0 }
