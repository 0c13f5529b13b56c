package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every relative link in a page of the repository leads to a file that exists and, with a fragment, to one of its
// headings.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	seen := 0
	require.NoError(t, filepath.WalkDir("..", func(page string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(page) != ".md" {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			to, heading := m[1], m[2]
			if strings.Contains(to, "://") {
				continue
			}
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
				require.FileExists(t, strings.TrimSuffix(target, "/"), "%s links to %s", page, m[0])
			}
			if heading != "" {
				require.Contains(t, fragments(read(t, target)), heading, "%s links to %s", page, m[0])
			}
			seen++
		}
		return nil
	}))
	require.Greater(t, seen, 40, "the links were not found")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// fragments are the names that GitHub gives the headings of a page. Headings in blocks of code count too: that is
// one name too many, and misses no link.
func fragments(page string) (names []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for line := range strings.Lines(page) {
		if text := strings.TrimLeft(line, "#"); text != line {
			text = dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
			names = append(names, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return names
}
