package sim_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Each field of a configuration has an effect, does what its documentation says in each phase of a
// connection, and is refused with an invalid value, alone or next to other fields. Every field has
// a row.
func TestTheVocabularyOfImpairments(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range impairmentVocabulary {
		rows[row.of] = true
		require.False(t, reflect.ValueOf(row.cfg).FieldByName(row.of).IsZero(), "the row of %s does not set it", row.of)
		fires := false
		for i, p := range phases {
			said, fired := visit(t, p.at, func(s *market) *sim.Fault {
				s.client.SetTCP(sim.TCPConfig{ECN: row.cfg.ECN})
				return sim.Impair(s.near, row.cfg)
			})
			require.Equal(t, row.want[i], said, "%s, %s: %s", row.of, p.name, row.why)
			fires = fires || fired > 0
		}
		require.True(t, fires, row.of)
		err, _ := row.bad.Validate().(*netem.ConfigError)
		require.NotNil(t, err, "%+v", row.bad)
		field, _, _ := strings.Cut(err.Field, ".")
		require.True(t, field == row.of || strings.Contains(err.Allowed, "contradicts "+row.of), "%s: %v", row.of, err)
	}
	for f := range reflect.TypeFor[netem.Config]().Fields() {
		require.True(t, rows[f.Name], "netem.Config.%s needs a row of impairmentVocabulary", f.Name)
	}
}

// impairmentVocabulary has a row for each field of netem.Config: a configuration of the client's
// link that has it, and one that is refused.
var impairmentVocabulary = []struct {
	of   string
	cfg  netem.Config
	why  string
	bad  netem.Config
	want [len(phases)]string
}{
	{"Delay", netem.Config{Delay: 105 * ms},
		"100 ms more each way.", netem.Config{Delay: -1}, [...]string{
			"dialled 540ms, answer 670ms, answer 700ms, web 770ms; fired 8",
			"dialled 240ms, answer 470ms, answer 700ms, web 770ms; fired 14",
			"answer 380ms, answer 610ms, web 780ms; fired 18",
			"answer 330ms, web 600ms; fired 15",
			"web 470ms; fired 8",
		}},
	{"Jitter", netem.Config{Delay: 50 * ms, Jitter: 50 * ms, Distribution: netem.Table{8192, 8192}},
		"Of a distribution of one value, so that no draw matters: 50 ms more, beside 45 ms more delay.", netem.Config{Jitter: -1}, [...]string{
			"dialled 520ms, answer 645ms, answer 675ms, web 745ms; fired 8",
			"dialled 235ms, answer 455ms, answer 675ms, web 745ms; fired 14",
			"answer 370ms, answer 590ms, web 755ms; fired 18",
			"answer 325ms, web 585ms; fired 15",
			"web 465ms; fired 8",
		}},
	{"Distribution", netem.Config{Delay: 5 * ms, Jitter: 50 * ms, Distribution: netem.Table{8192, 8192}},
		"A table of one value: 50 ms more.", netem.Config{Distribution: netem.Normal}, [...]string{
			"dialled 340ms, answer 470ms, answer 600ms, web 670ms; fired 19",
			"dialled 190ms, answer 320ms, answer 450ms, web 620ms; fired 20",
			"answer 280ms, answer 410ms, web 580ms; fired 25",
			"answer 280ms, web 470ms; fired 15",
			"web 420ms; fired 8",
		}},
	{"KeepOrder", netem.Config{Delay: 5 * ms, Jitter: 50 * ms, Distribution: netem.Table{8192, 8192}, KeepOrder: true},
		"50 ms more; when the fault is over what comes then waits for what is under way.", netem.Config{Delay: ms, Reorder: 0.5, KeepOrder: true}, [...]string{
			"dialled 340ms, answer 470ms, answer 600ms, web 670ms; fired 19",
			"dialled 190ms, answer 320ms, answer 450ms, web 620ms; fired 20",
			"answer 280ms, answer 410ms, web 580ms; fired 25",
			"answer 280ms, web 470ms; fired 15",
			"web 420ms; fired 8",
		}},
	{"Loss", netem.Config{Delay: 5 * ms, Loss: netem.Bernoulli(1)},
		"As Down.", netem.Config{Loss: netem.Bernoulli(1.5)}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 1.06s, answer 1.09s, web 1.16s; fired 3",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"ECN", netem.Config{Delay: 5 * ms, Loss: netem.Bernoulli(1), ECN: true},
		"Of a connection that asked for it data is marked instead; SYNs and other packets are lost.", netem.Config{ECN: true}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"web 814.688ms; fired 20",
			"web 812.5ms; fired 10",
			"web 1.097s; fired 6",
		}},
	{"Duplicate", netem.Config{Delay: 5 * ms, Duplicate: 1},
		"", netem.Config{Duplicate: -0.5}, [...]string{
			"web 370ms; fired 44",
			"web 370ms; fired 36",
			"web 370ms; fired 33",
			"web 370ms; fired 19",
			"web 370ms; fired 10",
		}},
	{"Copies", netem.Config{Delay: 5 * ms, Duplicate: 1, Copies: netem.Copies{Number: 3, Delay: 100 * ms}},
		"", netem.Config{Copies: netem.Copies{Number: 2}}, [...]string{
			"answer 230ms, web 370ms; fired 141",
			"web 370ms; fired 123",
			"web 370ms; fired 125",
			"web 370ms; fired 91",
			"web 370ms; fired 46",
		}},
	{"Reorder", netem.Config{Delay: 105 * ms, Reorder: 1},
		"All skip a delay of 105 ms, and the 5 ms that the link has without.", netem.Config{Reorder: 0.5}, [...]string{
			"dialled 120ms, answer 170ms, answer 220ms, web 360ms; fired 27",
			"dialled 135ms, answer 170ms, answer 220ms, web 360ms; fired 22",
			"answer 170ms, answer 220ms, web 360ms; fired 20",
			"answer 225ms, web 360ms; fired 11",
			"web 365ms; fired 5",
		}},
	{"ReorderGap", netem.Config{Delay: 25 * ms, Reorder: 1, ReorderGap: 2},
		"Every second packet waits for 25 ms.", netem.Config{ReorderGap: 3}, [...]string{
			"dialled 195ms, answer 300ms, answer 370ms, web 455ms; fired 36",
			"dialled 160ms, answer 205ms, answer 250ms, web 385ms; fired 24",
			"answer 220ms, answer 325ms, web 435ms; fired 28",
			"answer 250ms, web 385ms; fired 12",
			"web 390ms; fired 5",
		}},
	{"Corrupt", netem.Config{Delay: 5 * ms, Corrupt: 1},
		"", netem.Config{Corrupt: 2}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 1.06s, answer 1.09s, web 1.16s; fired 3",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Damage", netem.Config{Delay: 5 * ms, Corrupt: 1, Damage: netem.Damage{UndetectedTCP: true}},
		"A bit of each segment, which no checksum finds; datagrams are lost.", netem.Config{Damage: netem.Damage{Bits: 1}}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"altered, altered, altered 370ms; fired 22",
			"altered, altered, altered 370ms; fired 20",
			"altered, altered 370ms; fired 11",
			"altered 370ms; fired 5",
		}},
	{"Correlation", netem.Config{Delay: 5 * ms, Duplicate: 1, Correlation: netem.Correlation{Duplicate: 0.5}},
		"What always happens does.", netem.Config{Correlation: netem.Correlation{Duplicate: 0.5}}, [...]string{
			"web 370ms; fired 44",
			"web 370ms; fired 36",
			"web 370ms; fired 33",
			"web 370ms; fired 19",
			"web 370ms; fired 10",
		}},
	{"Rate", netem.Config{Delay: 5 * ms, Rate: 400 * netem.Kbit},
		"1500 bytes take 30 ms.", netem.Config{Rate: -1}, [...]string{
			"dialled 147.9ms, answer 246.16ms, answer 343.36ms, web 417.58ms; fired 30",
			"dialled 141.2ms, answer 246.16ms, answer 343.36ms, web 417.58ms; fired 25",
			"answer 246.16ms, answer 343.36ms, web 417.58ms; fired 23",
			"answer 293.12ms, web 373.18ms; fired 12",
			"web 372.14ms; fired 5",
		}},
	{"Framing", netem.Config{Delay: 5 * ms, Rate: 400 * netem.Kbit, Framing: netem.Framing{Overhead: 1000}},
		"1000 bytes a packet more take 20 ms.", netem.Config{Framing: netem.Framing{Overhead: 1}}, [...]string{
			"dialled 247.9ms, answer 456.14ms, answer 595ms, web 665ms; fired 19",
			"dialled 161.2ms, answer 369.44ms, answer 566.64ms, web 690.8ms; fired 18",
			"answer 337.2ms, answer 534.4ms, web 650ms; fired 21",
			"answer 353.12ms, web 527.34ms; fired 14",
			"web 423.18ms; fired 8",
		}},
	{"Shaper", netem.Config{Delay: 5 * ms, Shaper: netem.TokenBucket{Rate: 400 * netem.Kbit, Burst: 3000}},
		"A bucket of 3000 bytes: what the answers have more waits for 13 to 16 ms.", netem.Config{Rate: 1, Shaper: netem.TokenBucket{Rate: 1, Burst: 3000}}, [...]string{
			"answer 183.12ms, answer 246.24ms, web 370ms; fired 27",
			"answer 183.12ms, answer 246.24ms, web 370ms; fired 22",
			"answer 183.12ms, answer 246.24ms, web 370ms; fired 20",
			"answer 233.12ms, web 370ms; fired 11",
			"web 370ms; fired 5",
		}},
	{"Slots", netem.Config{Delay: 5 * ms, Slots: netem.Slots{Min: 50 * ms, Max: 50 * ms}},
		"", netem.Config{Slots: netem.Slots{Min: 2, Max: 1}}, [...]string{
			"dialled 340ms, answer 460ms, answer 590ms, web 660ms; fired 19",
			"dialled 190ms, answer 310ms, answer 440ms, web 600ms; fired 20",
			"answer 270ms, answer 400ms, web 560ms; fired 25",
			"answer 280ms, web 440ms; fired 15",
			"web 410ms; fired 8",
		}},
	{"Queue", netem.Config{Delay: 5 * ms, Rate: 400 * netem.Kbit, Queue: netem.DropTail{Packets: 1}},
		"One packet waits, the others are lost: of two questions about a name one is asked again after 5 s.", netem.Config{Queue: netem.DropTail{Packets: 1}}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 3",
			"dialled 141.2ms, answer 283.92ms, answer 632ms, web 702ms; fired 20",
			"answer 279.44ms, answer 650ms, web 720ms; fired 18",
			"answer 333.4ms, web 690.38ms; fired 15",
			"web 617.823ms; fired 6",
		}},
	{"Limit", netem.Config{Delay: 5 * ms, Limit: 1},
		"One packet is under way, the others are lost.", netem.Config{Limit: -1}, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 1",
			"answer 262ms, answer 737ms, web 807ms; fired 6",
			"answer 262ms, answer 737ms, web 807ms; fired 6",
			"answer 455ms, web 746.25ms; fired 4",
			"web 614.375ms; fired 1",
		}},
	{"MTU", netem.Config{Delay: 5 * ms, MTU: 500},
		"Segments for the interface that got smaller are cut to it, those that come to it are not known to fit until an ICMP message says so: one round trip of 20 ms more.", netem.Config{MTU: 67}, [...]string{
			asEver,
			"answer 190ms, web 370ms; fired 24",
			"answer 190ms, web 370ms; fired 24",
			"answer 240ms, web 370ms; fired 12",
			asEver,
		}},
}
