package squall_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// The README shows this test as it stands here.
// begin README
func TestLongPollHearsThroughAnOutage(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
		feed := &longpoll.Server{}
		server.ServeHTTP(":80", feed.Handler())

		n.After(5*time.Second, link.Down)
		n.After(10*time.Second, func() { feed.Publish(t.Context(), "news", []byte("you missed this")) })
		n.After(65*time.Second, link.Up)

		ctx, stop := context.WithCancel(t.Context())
		c := longpoll.Client{URL: "http://server/", HTTP: phone.HTTPClient(), Jitter: retry.NoJitter}
		c.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
			stop()
			require.Equal(t, "you missed this", string(b.Events[0].Data))
			return nil
		})
		require.Equal(t, 78195*time.Millisecond, n.Elapsed())
	})
}

// end README

func TestReadmeShowsATestThatRuns(t *testing.T) {
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(source), "// begin README\n")
	example, _, found := strings.Cut(example, "\n// end README")
	require.True(t, found)
	require.Contains(t, string(readme), "```go\n"+strings.TrimSpace(example)+"\n```", "the README's example is not the test")
}
