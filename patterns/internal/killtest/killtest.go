// Package killtest kills a working process, to test that everything it had acknowledged is still
// there afterwards.
package killtest

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// After runs the calling test again, in a process of its own with variable=path in its environment.
// It kills that process when it has written the given number of lines, and returns all lines that
// it has written.
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
