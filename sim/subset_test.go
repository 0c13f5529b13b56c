package sim_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// TestVictimOfManyFaults has six faults whose effects it records, and a seventh, a host that crashes and restarts. It
// fails if the second and the fifth happened.
func TestVictimOfManyFaults(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var mu sync.Mutex
		happened := ""
		for i, name := range strings.Split("abcdef", "") {
			f := sim.NewFault(n, name, func() {
				mu.Lock()
				defer mu.Unlock()
				happened += name
			}, nil).MustFire()
			n.Inject(time.Duration(i)*ms, 10*ms, f)
		}
		web := n.Host("web")
		refused := 0
		web.ServeHTTP(":80", http.NotFoundHandler())
		n.After(20*ms, web.Crash)
		n.After(30*ms, web.Restart)
		time.Sleep(25 * ms)
		if resp, err := n.Host("phone").HTTPClient().Get("http://web/"); err == nil {
			resp.Body.Close()
		} else {
			refused++
		}
		time.Sleep(10 * ms)
		mu.Lock()
		defer mu.Unlock()
		t.Logf("happened: %s; crashed %d; faults %d", happened, refused, len(n.Stats().Faults))
		if strings.Contains(happened, "b") && strings.Contains(happened, "e") {
			t.Errorf("late by %d ms", 17)
		}
	})
}

// Only the wanted faults of a run happen. A fault that is left out is not reported as never fired, nor is the restart
// after a crash that was left out. The command that repeats the run leaves them out too.
func TestFaultsThatAreLeftOut(t *testing.T) {
	for wanted, want := range map[string]string{
		"":           "happened: abcdef; crashed 1; faults 7",
		"2,5":        "happened: be; crashed 0; faults 7",
		" 1, 2,3,4 ": "happened: abcd; crashed 0; faults 7",
		"7":          "happened: ; crashed 1; faults 7",
		"none":       "happened: ; crashed 0; faults 7",
	} {
		out, failed := outputOf(t, "TestVictimOfManyFaults", "SQUALL_FAULTS="+wanted)
		require.Equal(t, wanted == "" || wanted == "2,5", failed, "%q: %s", wanted, out)
		require.Contains(t, out, want)
		require.NotContains(t, out, "never fired")
		if wanted == "2,5" {
			requireInOrder(t, out, "late by 17 ms", "To repeat it: SQUALL_FAULTS=2,5 SQUALL_SEED=1 ", "a second run of seed 1 had the same trace and failed too")
		}
	}
	out, failed := outputOf(t, "TestVictimOfManyFaults", "SQUALL_FAULTS=2,8")
	require.False(t, failed, out)
	require.Contains(t, out, "SQUALL_FAULTS=2,8: the test made only 7 faults")
	for _, wrong := range []string{"0", "x", "1,,2", "-1"} {
		out, failed := outputOf(t, "TestVictimOfManyFaults", "SQUALL_FAULTS="+wrong)
		require.True(t, failed)
		require.Contains(t, out, "sim: SQUALL_FAULTS="+wrong+": ")
	}
}

// In CI a test that fails leaves its folder without being asked, and a line in GitHub's summary. The folder is that
// of the second run, and equals the one that the first run would have left.
func TestAFolderIsLeftInCI(t *testing.T) {
	dir := t.TempDir()
	summary := filepath.Join(dir, "summary.md")
	env := []string{"SQUALL_ARTIFACTS=", "CI=true", "RUNNER_TEMP=", "TMPDIR=" + dir, "TMP=" + dir, "GITHUB_STEP_SUMMARY=" + summary}
	out, failed := outputOf(t, "TestVictimWithArtifacts", env...)
	require.True(t, failed)
	page := filepath.Join(dir, "squall-artifacts", "sim", "TestVictimWithArtifacts", "seed-1", "report.html")
	require.Contains(t, out, "To look at it: "+page)
	require.FileExists(t, page)
	_, asked := leftBy(t)
	files, err := os.ReadDir(asked)
	require.NoError(t, err)
	for _, f := range files {
		want, have := readFile(t, asked, f.Name()), readFile(t, filepath.Dir(page), f.Name())
		if f.Name() == "report.html" { // the first run's output names its folder
			want = strings.ReplaceAll(want, "To look at it: "+filepath.Join(asked, "report.html")+`\n`, "")
		}
		require.Equal(t, want, have, f.Name())
	}
	requireInOrder(t, readFile(t, dir, "summary.md"), "### `TestVictimWithArtifacts`, seed 1", "it took 1m13.84s", "SQUALL_SEED=1 "+sim.GoTest(), "To look at it: `"+page+"`")

	for _, change := range []string{"SQUALL_ARTIFACTS=off", "CI=false", "CI=", "CI=jenkins"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "squall-artifacts")))
		require.NoError(t, os.Remove(summary))
		require.NoError(t, os.WriteFile(summary, nil, 0o600))
		out, _ = outputOf(t, "TestVictimWithArtifacts", append(env, change)...)
		require.NotContains(t, out, "To look at it")
		require.NoDirExists(t, filepath.Join(dir, "squall-artifacts"), change)
		require.Empty(t, readFile(t, dir, "summary.md"))
	}
	other := t.TempDir()
	outputOf(t, "TestVictimWithArtifacts", append(env, "RUNNER_TEMP="+other)...)
	require.FileExists(t, filepath.Join(other, "squall-artifacts", "sim", "TestVictimWithArtifacts", "seed-1", "report.html"))
}

func TestVictimThatFailsOnce(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		if os.Getenv("SQUALL_REPLAY_FILE") == "" {
			t.Errorf("the first run alone, recorded: %t", n.Recorded())
		}
	})
}

// Unless a folder was asked for, the first run is not recorded. If the second run then passes, there is no record of
// the failure.
func TestASecondRunThatPassesLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	out, _ := outputOf(t, "TestVictimThatFailsOnce", "SQUALL_ARTIFACTS=", "CI=true", "RUNNER_TEMP="+dir)
	requireInOrder(t, out, "the first run alone, recorded: false", "but passed", "there is nothing to look at", "SQUALL_ARTIFACTS=DIR records the first run")
	require.NoDirExists(t, filepath.Join(dir, "squall-artifacts"))
	out, _ = outputOf(t, "TestVictimThatFailsOnce", "SQUALL_ARTIFACTS="+dir)
	requireInOrder(t, out, "the first run alone, recorded: true", "To look at it: ")
	out, _ = outputOf(t, "TestVictimThatFailsOnce", "SQUALL_ARTIFACTS=", "CI=true", "RUNNER_TEMP="+dir, "SQUALL_CHECK=0")
	requireInOrder(t, out, "the first run alone, recorded: true", "To look at it: ") // there is no second one
}
