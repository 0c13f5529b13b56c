package squall_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The README's first example is example_test.go as it stands, so that it can be pasted into an
// empty package.
func TestReadmeShowsATestThatRuns(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, readme(t), "```go\n"+string(source)+"```", "the README's example is not the test")
}

// The README shows lines of the chart that the example prints when it fails.
func TestReadmeShowsTheChartOfAFailure(t *testing.T) {
	failure := sim.Try(t, func(n *sim.Network) error {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
		server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(2 * time.Second)
		}))
		n.After(1*time.Second, link.Down)
		n.After(61*time.Second, link.Up)
		resp, err := phone.HTTPClient().Get("http://server/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		return errors.New("too late")
	})
	require.Error(t, failure)
	shown := 0
	for line := range strings.Lines(readme(t)) {
		if strings.Contains(line, "s  |") || strings.Contains(line, "s  * ") || strings.Contains(line, "events, trace ") {
			require.Contains(t, failure.Error(), strings.TrimSpace(line))
			shown++
		}
	}
	require.Equal(t, 9, shown, "lines of the chart, and the summary before it")
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}
