package comparison

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The documentation of five packages copies figures from docs/comparison.md, rounded for people. What it
// says is held to that document here, as TestComparison holds the document to the code.
func TestPackagesSayWhatTheComparisonMeasured(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "comparison.md"))
	require.NoError(t, err)
	c := copied{t, string(text)}

	second := func(pattern string) []string { return c.row("| 1 s | " + pattern + " |") }
	tenMinutes := func(pattern string) []string { return c.row("| 10 min | " + pattern + " |") }
	polled, longPolled, pushed := second("poll 1 s"), second("long poll"), second("WebSocket")
	streamed, published := second("SSE"), second("pub/sub")
	seldomPolled, seldomLongPolled := tenMinutes("poll 1 s"), tenMinutes("long poll")
	seldomPushed, seldomStreamed, seldomPublished := tenMinutes("WebSocket"), tenMinutes("SSE"), tenMinutes("pub/sub")
	often, seldom := c.row("| SSE | 60 s | "), c.row("| SSE | 10 min | ")
	const p50, p99, max, sends, wasted, bytes = 2, 3, 4, 5, 6, 8

	for pkg, phrases := range map[string][]string{
		"longpoll": {
			"after " + longPolled[p50] + " (p50), or after " + longPolled[max] + " if it just misses an answer",
			"One event in 10 minutes costs " + c.short(seldomLongPolled[sends]) + " requests and " + c.total(seldomLongPolled[bytes]),
			"One event a second costs one request and " + c.total(longPolled[bytes]),
			"Events costs " + c.total(seldomStreamed[bytes]) + " and " + c.total(streamed[bytes]),
		},
		"shortpoll": {
			"after " + c.seconds(polled[p50]) + " (p50) and " + c.seconds(polled[p99]) + " (p99)",
			"each event costs " + polled[sends] + " requests and " + c.total(polled[bytes]),
			"With one event in 10 minutes, each costs " + seldomPolled[sends] + " requests and " + c.total(seldomPolled[bytes]) + ", of which " + seldomPolled[wasted],
			"long polling then takes " + c.short(seldomLongPolled[sends]) + " requests and " + c.total(seldomLongPolled[bytes]) + ", and " + seldomLongPolled[p50],
			"intervals of more than " + c.short(strings.TrimSuffix(often[2], " min")) + " minutes",
			"radio time at more than " + seldom[4],
		},
		"push": {
			"arrives after " + pushed[p50],
			"One event a second costs " + c.total(pushed[bytes]),
			"One event in 10 minutes costs " + c.total(seldomPushed[bytes]),
			"Events costs " + c.total(streamed[bytes]) + " and " + c.total(seldomStreamed[bytes]),
			"long polling " + c.total(longPolled[bytes]) + " and " + c.total(seldomLongPolled[bytes]),
		},
		"stream": {
			"arrives after " + streamed[p50],
			"One event a second costs " + c.total(streamed[bytes]) + " each. One event in 10 minutes costs " + c.total(seldomStreamed[bytes]),
			"WebSocket costs more (" + c.total(pushed[bytes]) + ", " + c.total(seldomPushed[bytes]) + ")",
			"long polling (" + c.total(longPolled[bytes]) + ", " + c.total(seldomLongPolled[bytes]) + ")",
		},
		"pubsub": {
			"arrives after " + published[p50],
			"One message a second costs " + c.total(published[bytes]),
			"One message in 10 minutes costs " + c.total(seldomPublished[bytes]),
			"costs " + c.total(streamed[bytes]) + " and " + c.total(seldomStreamed[bytes]),
		},
	} {
		source, err := os.ReadFile(filepath.Join("..", "patterns", pkg, "doc.go"))
		require.NoError(t, err)
		doc := strings.Join(strings.Fields(strings.ReplaceAll(string(source), "\n//", " ")), " ")
		for _, phrase := range phrases {
			if !strings.Contains(doc, phrase) {
				t.Errorf("docs/comparison.md has it that patterns/%s/doc.go says %q", pkg, phrase)
			}
		}
	}
}

// copied is the comparison as it is copied from.
type copied struct {
	t    *testing.T
	text string
}

// row returns the cells of the first row of a table that begins so.
func (c copied) row(begin string) []string {
	_, rest, ok := strings.Cut(c.text, "\n"+begin)
	require.True(c.t, ok, "docs/comparison.md has no row %q", begin)
	line, _, _ := strings.Cut(begin+rest, "\n")
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func (c copied) number(text string) float64 {
	scale := 1.0
	if k, ok := strings.CutSuffix(text, " k"); ok {
		text, scale = k, 1000
	}
	x, err := strconv.ParseFloat(text, 64)
	require.NoError(c.t, err)
	return x * scale
}

// short is a number in two digits.
func (c copied) short(text string) string { return twoDigits(c.number(text)) }

func twoDigits(x float64) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'e', 1, 64), 64)
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// total is the sum of a cell for both directions, in two digits.
func (c copied) total(cell string) string {
	up, down, ok := strings.Cut(cell, " / ")
	require.True(c.t, ok, cell)
	if sum := c.number(up) + c.number(down); sum < 1000 {
		return twoDigits(sum) + " bytes"
	} else {
		return twoDigits(sum/1000) + " kB"
	}
}

// seconds is a time in tenths of a second.
func (c copied) seconds(cell string) string {
	number, unit, _ := strings.Cut(cell, " ")
	x := c.number(number)
	if unit == "ms" {
		x /= 1000
	}
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64) + " s"
}
