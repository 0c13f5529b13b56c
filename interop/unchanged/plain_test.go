//go:build !squall_exact

package unchanged

import "testing"

func needExact(t *testing.T) {
	t.Helper()
	t.Skip("libraries without a hook are on the simulated network in exact mode only: squall test")
}
