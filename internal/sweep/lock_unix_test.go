//go:build unix

package sweep

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a sweep that is killed was about to start has its ledger open for a moment longer. The next sweep waits for that.
func TestALedgerIsLockedForAMomentLonger(t *testing.T) {
	name := LedgerFile(t.TempDir(), Shard{1, 1})
	l, err := openLedger(name, Heading{Version: 1}, false)
	require.NoError(t, err)
	child := exec.Command("sleep", "0.2")
	child.ExtraFiles = []*os.File{l.file}
	require.NoError(t, child.Start())
	defer child.Wait()
	require.NoError(t, l.close())
	l, err = openLedger(name, Heading{Version: 1}, false)
	require.NoError(t, err)
	require.NoError(t, l.close())
}

// One that begins anew leaves the ledger of a sweep under way alone.
func TestOneSweepWritesALedger(t *testing.T) {
	defer func(d time.Duration) { lockedAfterwards = d }(lockedAfterwards)
	lockedAfterwards = 20 * time.Millisecond
	name := LedgerFile(t.TempDir(), Shard{1, 1})
	l, err := openLedger(name, Heading{Version: 1}, false)
	require.NoError(t, err)
	defer l.close()
	require.NoError(t, l.found(Finding{Package: "p", Test: "TestA", Seed: 7}))
	before, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, fresh := range []bool{false, true} {
		_, err = openLedger(name, Heading{Version: 1}, fresh)
		require.ErrorContains(t, err, "another sweep is writing it")
	}
	after, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}
