package weather_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/weather"
)

// The example is a test that passes.
func TestReadings(t *testing.T) { testReadings(t) }

// Tests that fail, for processes that the tests below start.
func TestPrey(t *testing.T) {
	which := os.Getenv("WEATHER_PREY")
	if which == "" {
		t.Skip("it is run by other tests")
	}
	c := weather.Config{For: 20 * time.Second, Faults: 5, Recovery: 30 * time.Second}
	quiet := func(t testing.TB, n *sim.Network, s *weather.Storm) {
		star(n, "server", "client")
		s.Begin()
	}
	weather.Test(t, c, map[string]weather.Func{
		"pays": paysTwice,
		"mended": func(t testing.TB, n *sim.Network, s *weather.Storm) {
			star(n, "bank", "shop")
			s.Begin()
		},
		"moved":   quiet,
		"begins":  func(testing.TB, *sim.Network, *weather.Storm) {},
		"nothing": func(t testing.TB, n *sim.Network, s *weather.Storm) { s.Begin() },
		"never": func(t testing.TB, n *sim.Network, s *weather.Storm) {
			quiet(t, n, s)
			s.Sometimes("it snows", false)
			s.Sometimes("it rains", n.Seed() == 7)
		},
		"late": func(t testing.TB, n *sim.Network, s *weather.Storm) {
			s.Eventually("all is well", func() error {
				if n.Elapsed() != 50*time.Second {
					return fmt.Errorf("it is %v", n.Elapsed())
				}
				return errors.New("it is not")
			})
			quiet(t, n, s)
		},
		"panics": func(t testing.TB, n *sim.Network, s *weather.Storm) {
			quiet(t, n, s)
			panic("oh")
		},
		"requires": func(t testing.TB, n *sim.Network, s *weather.Storm) {
			quiet(t, n, s)
			require.Equal(t, 1, 2, "they are not")
		},
	}[which])
}

// hunt runs a prey in a process, in a folder, and returns whether it passes and its output.
func hunt(t *testing.T, dir, which string, env ...string) (passes bool, text string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPrey$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WEATHER_PREY="+which, "SQUALL_SEEDS=", "SQUALL_SEED=", "SQUALL_CHECK=", "SQUALL_ARTIFACTS=", "SQUALL_WEATHER=", "SQUALL_FAULTS=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return err == nil, string(out)
}

// inOrder demands that a text contains some parts, one after the other.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, found := strings.Cut(rest, p)
		require.True(t, found, "missing, or not in this place: %q\nin:\n%s", p, text)
		rest = after
	}
}

// A failure reports the reduced storm, saves it, and runs it first the next time.
func TestAFailureIsReducedToldAndKept(t *testing.T) {
	dir := t.TempDir()
	passes, text := hunt(t, dir, "pays")
	require.False(t, passes)
	file := "testdata/weather/TestPrey/3.storm"
	told := []string{`at 5.1s of virtual time the rule "an order is charged once" was broken: charged  is more than 1`}
	inOrder(t, text, "weather: seed 3: sim: "+told[0], "The test fails this way with 1 fault (times count from Begin): bank: pause (4s to 5.1s).\n",
		"The storm had 2 faults; ", " tries reduced it to this.\n",
		"n.Inject(4*time.Second, 1100*time.Millisecond, sim.Pause(n.Host(\"bank\")))\n",
		"SQUALL_WEATHER='4s 1.1s pause bank' SQUALL_SEED=3 ", " test ", "-run '^TestPrey$' github.com/squall-sim/squall/weather\n",
		"Saved in "+file+"; it runs first next time.\n        This was storm 3 of 10. Those before it found nothing; the others were not tried.",
		told[0], "sim: at 5.1s of virtual time, seed 3, ", "Last events", "* rule broken: an order is charged once", "To repeat it: SQUALL_WEATHER='4s 1.1s pause bank' SQUALL_SEED=3 ", "a second run of seed 3 had the same trace and failed too")
	kept, err := os.ReadFile(filepath.Join(dir, file))
	require.NoError(t, err)
	require.Equal(t, "squall weather 1\n# In this storm TestPrey failed: sim: "+told[0]+"\nseed 3\n4s 1.1s pause bank\n", string(kept))

	passes, text = hunt(t, dir, "pays")
	require.False(t, passes)
	inOrder(t, text, "weather: the test fails in the saved storm "+file+": sim: "+told[0], told[0], "SQUALL_WEATHER='4s 1.1s pause bank' SQUALL_SEED=3 ")
	require.NotContains(t, text, "tries", "it is small already")

	passes, text = hunt(t, dir, "pays", "SQUALL_WEATHER=4s 1.1s pause bank", "SQUALL_SEED=3")
	require.False(t, passes)
	inOrder(t, text, told[0], "a second run of seed 3 had the same trace and failed too")

	other := t.TempDir()
	passes, text = hunt(t, other, "pays", "SQUALL_FAULTS=1,2", "SQUALL_SEED=3") // as squall shrink prints it; a smaller storm has other numbers
	require.False(t, passes)
	inOrder(t, text, "weather: seed 3: sim: at ", "Its storm of 2 faults was not reduced (SQUALL_FAULTS=1,2 selects faults by number). To reduce it, run the seed alone: SQUALL_SEED=3.",
		"SQUALL_FAULTS=1,2 SQUALL_SEED=3 ")
	require.NoDirExists(t, filepath.Join(other, "testdata"), "none is kept")

	passes, text = hunt(t, dir, "mended")
	require.True(t, passes, text)
	require.Contains(t, text, "weather: the test passes in the saved storm "+file)

	passes, text = hunt(t, dir, "moved")
	require.False(t, passes)
	require.Contains(t, text, "weather: "+file+" does not fit this test: pause bank: the network has no host of that name: fix the file or delete it")

	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte("squall weather 1\nseed 3\n4s 1.1s paws bank\n"), 0o600))
	passes, text = hunt(t, dir, "pays")
	require.False(t, passes)
	require.Contains(t, text, "weather: "+file+`: line 3: "4s 1.1s paws bank": "paws" is not a fault: want one of down, down-from, crash, `)
}

// With SQUALL_SEEDS each seed is a subtest, a failure like an earlier one is not reduced, and
// nothing is saved. The same holds for second runs, which have the same storms.
func TestWeatherOfManySeeds(t *testing.T) {
	dir := t.TempDir()
	passes, text := hunt(t, dir, "pays", "SQUALL_SEEDS=1-3,12-30")
	require.False(t, passes)
	inOrder(t, text, "weather: seed 3: sim: at 5.1s", "The test fails this way with 1 fault (times count from Begin): bank: pause (4s to 5.1s)",
		"a second run of seed 3 had the same trace and failed too", "was not reduced (the storm of seed 3, which fails the same way, was). To reduce it, run the seed alone: SQUALL_SEED=",
		"To repeat it: SQUALL_WEATHER='", "' SQUALL_SEED=", "-run '^TestPrey$'", "had the same trace and failed too")
	require.Contains(t, text, "--- PASS: TestPrey/seed=1 ")
	require.NotContains(t, text, "does not replay")
	require.Equal(t, 1, strings.Count(text, "reduced it to this"))
	require.NoDirExists(t, filepath.Join(dir, "testdata"))
}

// With SQUALL_CHECK=1 storms that fail nothing are compared with those of a second process.
func TestWeatherIsCompared(t *testing.T) {
	passes, text := hunt(t, t.TempDir(), "mended", "SQUALL_CHECK=1", "SQUALL_SEEDS=1-4")
	require.True(t, passes, text)
	passes, text = hunt(t, t.TempDir(), "late", "SQUALL_CHECK=1", "SQUALL_SEED=2")
	require.False(t, passes)
	require.Contains(t, text, "a second run of seed 2 had the same trace and failed too")
}

// Other reasons for which a test can fail.
func TestWhatFailsInAnyWeather(t *testing.T) {
	for which, want := range map[string][]string{
		"begins":   {"weather: seed 1: weather: Test: the test function did not call Storm.Begin", "The test fails this way without any fault.\n", "SQUALL_WEATHER=calm SQUALL_SEED=1 ", "This was the first of 10 storms; the others were not tried."},
		"nothing":  {"weather: Storm.Begin: the network has 0 hosts and 0 links, and Config.Kinds, Up and Spared allow no fault of any"},
		"never":    {`weather: in 10 storms this never happened (Storm.Sometimes): "it snows". Draw more storms`},
		"late":     {`weather: seed 1: weather: 30s after the storm "all is well" was not true: it is not`, "The test fails this way without any fault.\n"}, // 20 s of storm and 30 s
		"panics":   {"weather: seed 1: weather_test.go:", ": sim: the test panicked: oh"},
		"requires": {"weather: seed 1: weather_test.go:", ": Not equal: they are not\n", "The test fails this way without any fault."},
	} {
		passes, text := hunt(t, t.TempDir(), which, "SQUALL_CHECK=0")
		require.False(t, passes, which)
		inOrder(t, text, want...)
		require.NotContains(t, text, "which had 0 faults", which)
	}
	passes, text := hunt(t, t.TempDir(), "never", "SQUALL_SEED=1")
	require.True(t, passes, "one seed does not say it: %s", text)
	passes, text = hunt(t, t.TempDir(), "requires", "SQUALL_SEED=1")
	require.False(t, passes)
	inOrder(t, text, "The test fails this way without any fault.")
	require.NotContains(t, text, "storms", "there are no others")
}

// A storm has only the faults that the test allows.
func TestStormsKeepToTheirConfig(t *testing.T) {
	draws := func(c weather.Config, hosts ...string) (all []string) {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			star(n, hosts...)
			n.Link(n.Router("r"), n.Host(hosts[0]), netem.Config{})
			for seed := range uint64(300) {
				text := weather.Draw(c, seed, n)
				require.Equal(t, text, weather.Draw(c, seed, n))
				all = append(all, strings.Split(text, ", ")...)
			}
			return nil
		}))
		return all
	}
	kinds := map[string]bool{}
	for _, x := range draws(weather.Config{For: 10 * time.Second, Longest: 2 * time.Second, Up: []string{"A"}, Spared: []string{"c"}}, "a", "b", "c") {
		f := strings.Fields(x)
		at, err := time.ParseDuration(f[0])
		require.NoError(t, err)
		lasts, err := time.ParseDuration(f[1])
		require.NoError(t, err)
		require.LessOrEqual(t, at+lasts, 10*time.Second, x)
		require.LessOrEqual(t, lasts, 2*time.Second, x)
		require.Positive(t, lasts, x)
		require.NotContains(t, f[3:], "c", x)
		require.False(t, len(f) == 4 && f[3] == "a", x)
		kinds[f[2]] = true
	}
	require.Len(t, kinds, 26, "all kinds are drawn")
	for _, x := range draws(weather.Config{Kinds: []string{"crash"}}, "a", "b") {
		require.Contains(t, x, " crash ")
	}
}

func TestFilesOfStorms(t *testing.T) {
	seed, text, err := weather.ReadKept("squall weather 1\n# why\n\nseed 18446744073709551615\n0s 1ms down a b\n 1m5.3s 1s crash a\n")
	require.NoError(t, err)
	require.Equal(t, uint64(1<<64-1), seed)
	require.Equal(t, "0s 1ms down a b, 1m5.3s 1s crash a", text)
	_, text, err = weather.ReadKept("squall weather 1\nseed 1\n")
	require.NoError(t, err)
	require.Equal(t, "calm", text)
	for file, want := range map[string]string{
		"squall weather 2\nseed 1\n":                    `line 1 is "squall weather 2": want "squall weather 1", the version that this squall reads`,
		"":                                              `line 1 is "": want`,
		"squall weather 1\n1s 1s down a b\n":            `it has no seed: want a line such as "seed 7"`,
		"squall weather 1\nseed x\n":                    `line 2: "seed x": want a number`,
		"squall weather 1\nseed 1\n1s down\n":           `line 3: "1s down" has 2 words: want when a fault begins`,
		"squall weather 1\nseed 1\n-1s 1s crash a\n":    `line 3: "-1s 1s crash a": "-1s" is not the time`,
		"squall weather 1\nseed 1\n1s 0s crash a\n":     `"0s" is not the time`,
		"squall weather 1\nseed 1\n1s 1s crash a b\n":   `names 2 hosts or routers: want 1`,
		"squall weather 1\nseed 1\n1s 1s down a\n":      `names 1 hosts or routers: want 2`,
		"squall weather 1\nseed 1\n1s 1s explode a b\n": `"explode" is not a fault: want one of down, `,
	} {
		_, _, err := weather.ReadKept(file)
		require.ErrorContains(t, err, want)
	}
	_, err = weather.ReadLine("1s 1s crash a, nonsense")
	require.ErrorContains(t, err, `"nonsense" has 1 words`)
	require.Equal(t, filepath.Join("testdata", "weather", "TestX"), weather.Folder("TestX"))
	require.NotEqual(t, weather.Folder("TestX/a b"), weather.Folder("TestX/a_b"))
}

func TestMisuseOfWeather(t *testing.T) {
	for _, x := range []struct {
		c    weather.Config
		want string
	}{
		{weather.Config{Storms: -1}, "weather: Test: Config.Storms is negative (-1): it must be 0 or more"},
		{weather.Config{Recovery: -time.Second}, "weather: Test: Config.Recovery is negative (-1s): it must be 0 or more"},
		{weather.Config{For: time.Millisecond}, "weather: Test: Config.For is 1ms: it must be 10ms or more"},
		{weather.Config{Longest: 2 * time.Minute}, "weather: Test: Config.Longest is 2m0s: it must be from 1ms to Config.For, which is 1m0s"},
	} {
		require.PanicsWithValue(t, x.want, func() { weather.Test(t, x.c, nil) })
	}
	got := func() (p any) {
		defer func() { p = recover() }()
		weather.Test(t, weather.Config{Kinds: []string{"rain"}}, nil)
		return nil
	}()
	require.Contains(t, got, `weather: Test: Config.Kinds has "rain": they must be of down, down-from, crash, `)
	found := weather.Search(t, weather.Config{Storms: 1}, func(t testing.TB, n *sim.Network, s *weather.Storm) {
		star(n, "a", "b")
		for want, misuse := range map[string]func(){
			"weather: Storm.Settle: the storm has not begun: call Begin first": s.Settle,
			"weather: Storm.Eventually: the name is empty":                     func() { s.Eventually("", nil) },
			`weather: Storm.Eventually("x"): check must not be nil`:            func() { s.Eventually("x", nil) },
			"weather: Storm.Sometimes: the name is empty":                      func() { s.Sometimes("", true) },
		} {
			require.PanicsWithValue(t, want, misuse)
		}
		s.Begin()
		require.PanicsWithValue(t, "weather: Storm.Begin: the storm has begun already", s.Begin)
		s.Settle()
		require.PanicsWithValue(t, `weather: Storm.Eventually("x"): Settle has returned already`, func() { s.Eventually("x", func() error { return nil }) })
	})
	require.Nil(t, found)
	for _, x := range []struct {
		c    weather.Config
		want string
	}{
		{weather.Config{Up: []string{"A", "bnak"}}, `weather: Storm.Begin: Config.Up has "bnak", which is not a host: the hosts are a, bank`},
		{weather.Config{Up: []string{"edge"}}, `weather: Storm.Begin: Config.Up has "edge", which is not a host: the hosts are a, bank`},
		{weather.Config{Spared: []string{"edge", "b"}}, `weather: Storm.Begin: Config.Spared has "b", which is not a host: the hosts are a, bank`},
		{weather.Config{Up: []string{"A"}, Spared: []string{"Edge"}}, ""},
	} {
		x.c.Storms = 1
		require.Nil(t, weather.Search(t, x.c, func(t testing.TB, n *sim.Network, s *weather.Storm) {
			edge := n.Router("edge")
			n.Link(n.Host("a"), edge, netem.Config{})
			n.Link(edge, n.Host("bank"), netem.Config{})
			if x.want == "" {
				s.Begin()
			} else {
				require.PanicsWithValue(t, x.want, s.Begin)
			}
		}))
	}
}
