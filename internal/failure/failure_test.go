package failure

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatATestFailedFor(t *testing.T) {
	for _, row := range []struct {
		reason, output, where, what, cause string
	}{
		{"what t.Errorf prints", "    a_test.go:5: lost 7 events of 0x1f\n    b_test.go:6: and more\n", "a_test.go:5", "lost 7 events of 0x1f", "a_test.go:5: lost # events of #"},
		{"a subtest, on Windows", "--- FAIL: TestA/b (0.00s)\r\n        a_test.go:5: late by 1.5s\r\n", "a_test.go:5", "late by 1.5s", "a_test.go:5: late by #"},
		{"what testify prints", "    a_test.go:5: \n        \tError Trace:\t/src/a_test.go:5\n        \tError:      \tNot equal: \n        \t            \texpected: 1\n        \tTest:       \tTestA\n        \tMessages:   \tof each\n",
			"a_test.go:5", "Not equal: of each", "a_test.go:5: Not equal: of each"},
		{"an error that nobody expected", "    a_test.go:5: \n        \tError Trace:\t/src/a_test.go:5\n        \tError:      \tReceived unexpected error:\n        \t            \tdial 10.0.0.1: refused\n        \t            \tmore of it\n        \tTest:       \tTestA\n        \tMessages:   \tof each\n",
			"a_test.go:5", "Received unexpected error: dial 10.0.0.1: refused of each", "a_test.go:5: Received unexpected error: dial #.#: refused of each"},
		{"times and lines", "    a_test.go:5: b_test.go:7: 3 came after 1h2m3.5s, 20ms late, of 2mice\n", "a_test.go:5", "b_test.go:7: 3 came after 1h2m3.5s, 20ms late, of 2mice",
			"a_test.go:5: b_test.go:7: # came after #, # late, of #mice"},
		{"nothing", "--- FAIL: TestA (0.00s)\n", "", "", ""},
		{"a position that is not the beginning of a line", "see a_test.go:5: it says\n", "", "", ""},
	} {
		t.Run(row.reason, func(t *testing.T) {
			where, what := First(row.output)
			require.Equal(t, row.where, where)
			require.Equal(t, row.what, what)
			require.Equal(t, row.cause, Cause(row.output))
		})
	}
}

func TestWhatATestSaid(t *testing.T) {
	require.Equal(t, []string{"first\nof two lines", "second"}, Said("=== RUN   TestA\n    a_test.go:5: first\n        of two lines\nhello\n        not of it\n        b_test.go:6: second\n--- FAIL: TestA\n"))
	require.Empty(t, Said("  a_test.go:5: of another program\n"))
}
