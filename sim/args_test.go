package sim

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The second process runs the same tests the same number of times, at other values of GOMAXPROCS, and writes no files. A flag's
// value may follow an = sign or be the next argument.
func TestArgumentsOfTheSecondProcess(t *testing.T) {
	for _, row := range []struct{ args, second, own []string }{
		{args: []string{"-test.run=X", "-test.v", "-test.count=2"}, second: []string{"-test.run=X", "-test.count=2"}},
		{args: []string{"-test.cpuprofile", "p", "-test.run", "X"}, second: []string{"-test.run", "X"}},
		{args: []string{"--test.coverprofile=c", "--test.timeout", "1m"}, second: []string{"--test.timeout", "1m"}},
		{args: []string{"-test.cpu=1,2,4"}, second: []string{"-test.cpu=2,1,1"}},
		{args: []string{"-test.cpu", "8", "-test.short"}, second: []string{"-test.cpu=1", "-test.short"}},
		{args: []string{"-test.v=true", "-test.short", "-test.failfast", "-mine", "-test.run=X"}, second: []string{"-test.short", "-mine", "-test.run=X"}, own: []string{"-mine"}},
		{args: []string{"-test.timeout", "1m", "-mine=a b", "-test.run", "X", "rest", "-test.v"},
			second: []string{"-test.timeout", "1m", "-mine=a b", "-test.run", "X", "rest", "-test.v"}, own: []string{"-mine=a b", "rest", "-test.v"}},
		{args: []string{"-test.short", "--", "-test.v"}, second: []string{"-test.short", "--", "-test.v"}, own: []string{"--", "-test.v"}},
	} {
		require.Equal(t, row.second, secondArgs(row.args), "%q", row.args)
		before := os.Args
		os.Args = append([]string{"program"}, row.args...)
		own := ownArgs()
		os.Args = before
		require.Equal(t, row.own, own, "%q", row.args)
	}
}
