// Package killtest kills a process at work, to see whether what it had acknowledged is there afterwards.
package killtest

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// After runs the test that calls it once more, in a process of its own with variable=path in its environment, kills that when it has
// written so many lines, and returns all that it has written.
func After(t *testing.T, lines int, variable, path string) (written []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for in := bufio.NewScanner(out); in.Scan(); {
		written = append(written, in.Text())
		if len(written) == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait(), "it was killed")
	return written
}
