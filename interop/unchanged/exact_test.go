//go:build squall_exact

package unchanged

import "testing"

func needExact(*testing.T) {}
