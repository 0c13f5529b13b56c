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
		{"what Explore found", "    explore.go:77: sim: Explore: 9 of 77 runs failed, in 2 ways. Tried 77 of 77 breakages.\n        \n        The datagram was lost.\n" +
			"        Output of the test:\n            pay_test.go:34: charged 2 times\n        \n        Output of the test:\n            pay_test.go:40: not charged\n",
			"explore.go:77", "sim: Explore: 9 of 77 runs failed, in 2 ways. Tried 77 of 77 breakages.", "explore.go:77: sim: Explore: pay_test.go:34: charged # times"},
		{"a process that Explore saw die", "    explore.go:77: sim: Explore: 1 of 2 runs failed, in 1 way.\n        Output of the test:\n        \n        panic: 7 eggs\n        goroutine 1\n",
			"explore.go:77", "sim: Explore: 1 of 2 runs failed, in 1 way.", "explore.go:77: sim: Explore: panic: # eggs"},
		{"a race that Explore saw", "    explore.go:77: sim: Explore: 1 of 2 runs failed, in 1 way.\n        Output of the test:\n        ==================\n        WARNING: DATA RACE\n        Read at 0x00c0000142a8\n",
			"explore.go:77", "sim: Explore: 1 of 2 runs failed, in 1 way.", "explore.go:77: sim: Explore: WARNING: DATA RACE"},
		{"a call of Explore that found nothing", "    a_test.go:5: sim: Explore: no run failed. Tried 2 of 2 breakages.\n    a_test.go:6: lost\n", "a_test.go:6", "lost", "a_test.go:6: lost"},
		{"what Explore did not find", "    explore.go:77: sim: Explore: the test does not repeat: 3 of 4 runs differed\n", "explore.go:77",
			"sim: Explore: the test does not repeat: 3 of 4 runs differed", "explore.go:77: sim: Explore: the test does not repeat: # of # runs differed"},
		{"what the program printed before", "  Error:  disk full\n    a_test.go:5: lost\n", "a_test.go:5", "lost", "a_test.go:5: lost"},
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
	require.Equal(t, []string{"first\nof three\nlines", "second"}, Said("=== RUN   TestA\n    a_test.go:5: first\n        of three\r\n        lines\nhello\n        not of it\n        b_test.go:6: second\n--- FAIL: TestA\n"))
	require.Empty(t, Said("  a_test.go:5: of another program\n"))
}
