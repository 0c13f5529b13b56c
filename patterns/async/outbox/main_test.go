package outbox_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/squall-sim/squall/internal/ramdisk"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	goleak.VerifyTestMain(m)
}
