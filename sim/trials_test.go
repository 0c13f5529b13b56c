package sim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A trial fails for the reasons that fail a test, but fails no test.
func TestATrialTellsWhyItFailed(t *testing.T) {
	seedsOfItsOwn(t)
	x := sim.NewTrials(t, "sim_test", []uint64{3, 4})
	seeds, subtests := x.Seeds()
	require.Equal(t, []uint64{3, 4}, seeds)
	require.False(t, subtests)
	for name, row := range map[string]struct {
		f     func(t testing.TB, n *sim.Network)
		cause string
		text  string
	}{
		"nothing":  {func(t testing.TB, n *sim.Network) { t.Log("it is well") }, "", ""},
		"Errorf":   {func(t testing.TB, n *sim.Network) { t.Errorf("%d of %d", 1, 2); t.Error("and", 3) }, "# of #", "1 of 2\nand 3"},
		"Fatal":    {func(t testing.TB, n *sim.Network) { t.Fatal("over"); t.Error("not reached") }, "over", "over"},
		"require":  {func(t testing.TB, n *sim.Network) { require.True(t, false, "at %d", 7) }, "Should be true at #", ""},
		"Fail":     {func(t testing.TB, n *sim.Network) { t.Fail() }, "the test failed without a message", ""},
		"skipped":  {func(t testing.TB, n *sim.Network) { t.Skip("not today") }, "", ""},
		"panic":    {func(t testing.TB, n *sim.Network) { panic("oh") }, "sim: the test panicked: oh", ""},
		"misuse":   {func(t testing.TB, n *sim.Network) { n.Host("") }, "", ""},
		"cleanup":  {func(t testing.TB, n *sim.Network) { t.Cleanup(func() { t.Error("late") }) }, "late", "late"},
		"the seed": {func(t testing.TB, n *sim.Network) { t.Fatal("seed", n.Seed()) }, "seed #", "seed 4"},
	} {
		failed := x.Try(t, 4, row.f)
		switch {
		case row.cause == "" && name != "misuse":
			require.Nil(t, failed, name)
		case name == "misuse":
			require.Contains(t, failed.Cause, "sim: Host")
		default:
			require.Equal(t, row.cause, strings.TrimPrefix(failed.Cause, failed.Where+": "), name)
			require.Regexp(t, `^trials_test\.go:\d+$`, failed.Where, name)
			require.Contains(t, failed.Text, row.text, name)
		}
	}
	require.False(t, t.Failed())
}

// Failures with the same message at two places are different, and numbers and times make no difference. A failure in
// a test helper counts where the helper was called.
func TestTrialsAreToldApartByWhereTheyFail(t *testing.T) {
	x := sim.NewTrials(t, "sim_test", []uint64{1})
	demand := func(t testing.TB, err error) {
		t.Helper()
		require.NoError(t, err)
	}
	try := func(which int, err error) *sim.Failure {
		t.Helper()
		failed := x.Try(t, 1, func(t testing.TB, n *sim.Network) {
			switch which {
			case 1:
				require.NoError(t, err)
			case 2:
				require.NoError(t, err)
			case 3:
				demand(t, err)
			case 4:
				demand(t, err)
			case 5:
				t.FailNow()
			case 6:
				t.FailNow()
			}
		})
		require.NotNil(t, failed)
		return failed
	}
	causes := map[string]bool{}
	for which := range 6 {
		causes[try(which+1, errors.New("late by 59.5s")).Cause] = true
	}
	require.Len(t, causes, 6)
	require.NotEqual(t, try(1, errors.New("late")).Cause, try(1, errors.New("lost")).Cause)
	require.Equal(t, try(1, errors.New("late by 59.5s")).Cause, try(1, errors.New("late by 1m0.5s")).Cause)
}

// neverEnds checks a rule at 1 s and then runs for ever, whatever happens to the network, like a client that retries
// until it succeeds.
func neverEnds(n *sim.Network, rule error) error {
	time.Sleep(time.Second)
	n.Always("few", func() error { return rule })
	c, err := n.Host("a").ListenPacket("udp", ":1")
	if err != nil {
		return err
	}
	if _, err := c.WriteTo([]byte("x"), c.LocalAddr()); err != nil {
		return err
	}
	go func() { _, _, _ = c.ReadFrom(make([]byte, 1)) }()
	for {
		time.Sleep(time.Minute)
	}
}

// Bubbles that are abandoned stay behind, and goleak would find them here.
func TestVictimTrial(t *testing.T) {
	victim(t)
	x := sim.NewTrials(t, "sim_test", []uint64{1}, sim.Limit(time.Hour))
	for _, rule := range []error{nil, errors.New("7 are there")} {
		failed := x.Try(t, 1, func(t testing.TB, n *sim.Network) { t.Error(neverEnds(n, rule)) })
		t.Logf("cause: %s\ntext: %s\ntrace: %t", failed.Cause, failed.Text, failed.Trace != 0)
	}
	t.Log("Try returns:", sim.Try(t, func(n *sim.Network) error { return neverEnds(n, errors.New("7 are there")) }))
}

// A trial that does not end with its network is abandoned. Its cause is the first failure.
func TestATrialThatIsAbandoned(t *testing.T) {
	t.Parallel()
	out, _ := outputOf(t, "TestVictimTrial")
	requireInOrder(t, out,
		"cause: sim: the test hangs: the network was closed at # because virtual time reached its limit", "trace: true",
		`cause: sim: at # of virtual time the rule "few" was broken: # are there`,
		`text: sim: at 1s of virtual time the rule "few" was broken: 7 are there`,
		"sim: the test hangs: the network was closed at 1s because a rule of Always was broken (see above)", "did not end within another 2h0m0s", "trace: true",
		`Try returns: sim: at 1s of virtual time the rule "few" was broken: 7 are there`, "so it was abandoned",
		"--- PASS: TestVictimTrial")
}
