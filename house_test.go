package squall_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/squall-sim/squall"

// The rooms of the house and what each may not import, with the reason. A test file
// counts as part of its package.
var house = []struct {
	room, never, reason string
}{
	{"/netem", "/sim", "an impairment is a pure function that arithmetic can check"},
	{"/netem", "/patterns", "an impairment is a pure function that arithmetic can check"},
	{"/sim", "/patterns", "the network does not know what runs on it"},
	{"/sim/internal/tcp", "/netem", "TCP is a state machine without a network"},
	{"/patterns", "/sim", "a pattern that never saw the simulator runs on a real network unchanged"},
	{"/patterns", "/netem", "a pattern that never saw the simulator runs on a real network unchanged"},
}

// patterntest is where patterns and the simulator meet.
const meetingPlace = module + "/patterns/patterntest"

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f",
		`{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "./...").Output()
	require.NoError(t, err, "go list")

	rooms := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg, imports := fields[0], fields[1:]
		if within(pkg, meetingPlace) {
			continue
		}
		for _, rule := range house {
			if !within(pkg, module+rule.room) {
				continue
			}
			rooms++
			for _, i := range imports {
				require.False(t, within(i, module+rule.never), "%s imports %s, but %s", pkg, i, rule.reason)
			}
		}
	}
	require.NotZero(t, rooms, "the rules met no package: were the rooms renamed?")
}

// The network and its impairments need nothing but the standard library, so that a
// user's module takes on no dependency by them.
func TestSimulatorUsesTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`, "./sim", "./netem").Output()
	require.NoError(t, err, "go list")
	for _, pkg := range strings.Fields(string(out)) {
		require.True(t, within(pkg, module+"/sim") || within(pkg, module+"/netem"), "the simulator depends on %s", pkg)
	}
}

// The libraries of others that interop runs are no concern of those who use squall: it is
// a module of its own, on the tree that it lies in, and the root does not enter it.
func TestInteropIsAModuleOfItsOwn(t *testing.T) {
	const interop = module + "/interop"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "-test", "./...").Output()
	require.NoError(t, err, "go list")
	for _, pkg := range strings.Fields(string(out)) {
		require.False(t, within(pkg, interop), "the root's module has %s in it", pkg)
	}

	list := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{if .Replace}}{{.Replace.Path}}{{end}}", interop, module)
	list.Dir = "interop"
	out, err = list.Output()
	require.NoError(t, err, "go list in interop")
	require.Equal(t, interop+" \n"+module+" ../\n", string(out), "the module in interop, and where it takes squall from")
}

func within(pkg, room string) bool {
	return pkg == room || strings.HasPrefix(pkg, room+"/")
}
