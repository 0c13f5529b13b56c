package comparison

import (
	"testing"

	"github.com/squall-sim/squall/internal/ramdisk"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	m.Run()
}
