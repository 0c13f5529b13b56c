package sim_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// The type is an alias of one that documentation tools do not show, so its comment
// must name every field.
func TestTCPConfigIsDocumented(t *testing.T) {
	source, err := os.ReadFile("tcpconfig.go")
	require.NoError(t, err)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[sim.TCPConfig]()) {
		if !f.IsExported() {
			continue
		}
		kind := strings.NewReplacer("tcp.", "TCP").Replace(f.Type.String())
		require.Contains(t, string(source), "//\t"+f.Name+" "+kind+" ", "the comment of TCPConfig")
	}
}
