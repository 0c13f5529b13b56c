package session_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/internal/killtest"
	"github.com/squall-sim/squall/patterns/session"
)

const victim = "SQUALL_SESSION_VICTIM"

// A process whose users log in, work, get a new token and log out is killed at work. What Save and Renew acknowledged is there, and what
// Renew and Delete ended does not come back.
func TestAcknowledgedSessionsSurviveTheirProcess(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		saveUntilKilled(t, path)
		return
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "sessions")
		count := map[string]int{}                            // the last that was acknowledged, by token
		ending, over := map[string]bool{}, map[string]bool{} // tokens that may be over, and that are
		for _, line := range killtest.After(t, 300+70*round, victim, path) {
			switch words := strings.Fields(line); words[0] {
			case "saved":
				var err error
				count[words[1]], err = strconv.Atoi(words[2])
				require.NoError(t, err)
			case "ending":
				ending[words[1]] = true
			case "over":
				over[words[1]] = true
			}
		}
		d, err := session.OpenDisk(path, nil)
		require.NoError(t, err)
		left := 0
		for _, token := range slices.Sorted(maps.Keys(count)) {
			r, err := d.Load(t.Context(), token)
			if over[token] || ending[token] && err != nil {
				require.ErrorIs(t, err, session.ErrNone)
				continue
			}
			require.NoError(t, err, "it was acknowledged and is lost")
			left++
			have, err := strconv.Atoi(r.Values["count"])
			require.NoError(t, err)
			require.Contains(t, []int{count[token], count[token] + 1}, have, "what was acknowledged, or the one after it")
			require.EqualValues(t, have, r.Version, "each Save is one version")
		}
		require.NotEmpty(t, over)
		require.Positive(t, left)
		require.NoError(t, d.Close())
	}
}

func saveUntilKilled(t *testing.T, path string) {
	d, err := session.OpenDisk(path, nil)
	require.NoError(t, err)
	say := func(words ...string) { os.Stdout.WriteString(strings.Join(words, " ") + "\n") }
	for range 16 {
		go func() {
			for {
				r, token := record("ann"), ""
				for i := 1; i <= 6; i++ {
					r.Values = map[string]string{"count": strconv.Itoa(i)}
					save := d.Save
					if i == 5 {
						save = d.Renew
						say("ending", token)
					}
					next, err := save(t.Context(), token, r)
					if err != nil {
						panic(err)
					}
					if i == 5 {
						say("over", token)
					}
					token = next
					r.Version++
					say("saved", token, strconv.Itoa(i))
				}
				say("ending", token)
				if err := d.Delete(t.Context(), token); err != nil {
					panic(err)
				}
				say("over", token)
			}
		}()
	}
	select {}
}
