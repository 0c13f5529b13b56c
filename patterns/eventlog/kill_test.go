package eventlog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/killtest"
)

const victim = "SQUALL_EVENTLOG_VICTIM"

// A process with many publishers is killed at work: what it had acknowledged is there,
// each Append as a whole, without gaps.
func TestAcknowledgedGroupsSurviveTheirProcess(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		publishUntilKilled(t, path)
		return
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "log")
		acknowledged := map[string]string{} // text by cursor
		for _, line := range killtest.After(t, 300+70*round, victim, path) {
			if cursor, text, ok := strings.Cut(line, " "); ok {
				acknowledged[cursor] = text
			}
		}

		l := openDisk(t, path, eventlog.Options{})
		page := read(t, l, at(0), eventlog.Query{MaxEntries: -1, MaxBytes: -1})
		require.Empty(t, page.Reset)
		require.Zero(t, len(page.Entries)%2, "an Append is there as a whole or not at all")
		for i, e := range page.Entries {
			require.EqualValues(t, i+1, e.Offset, "no gaps")
			if i%2 == 1 {
				require.Equal(t, string(page.Entries[i-1].Data), string(e.Data), "the two entries of one Append")
				c := at(e.Offset).String()
				if text, ok := acknowledged[c]; ok {
					require.Equal(t, text, string(e.Data))
					delete(acknowledged, c)
				}
			}
		}
		require.Empty(t, acknowledged, "acknowledged and lost")
		require.NoError(t, l.Close())
	}
}

func publishUntilKilled(t *testing.T, path string) {
	l := openDisk(t, path, eventlog.Options{Epoch: epoch})
	for p := range 16 {
		go func() {
			for i := 0; ; i++ {
				text := fmt.Sprintf("%d/%d", p, i)
				e := eventlog.Entry{Topic: "t", Data: []byte(text)}
				c, err := l.Append(context.Background(), e, e)
				if err != nil {
					panic(err)
				}
				os.Stdout.WriteString(c.String() + " " + text + "\n")
			}
		}()
	}
	select {}
}
