package sim

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/artifacts"
	"github.com/stretchr/testify/require"
)

// A run's captures take 96 MB at most. If there are more, the last packets keep their bytes; those
// that arrived unchanged keep the bytes of when they were sent; and the oldest are kept without
// bytes.
func TestAFilmKeepsTheLastBytes(t *testing.T) {
	n := &Network{log: journal{trace: new(Trace)}}
	f := newFilm(n)
	const size = 60000
	way := &path{header: 20}
	from, to := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:53")
	// Of ten packets one is lost, one arrives altered, which counts twice, and the others arrive as
	// they were sent.
	const packets = 2 * mostFrameBytes / size
	for sent := range packets {
		pkt := &packet{proto: protoUDP, src: from, dst: to, data: make([]byte, size), size: size + 28, way: way}
		n.log.trace.total++
		f.packet(Sent, pkt)
		n.log.trace.total++
		switch sent % 10 {
		case 3:
			f.packet(Dropped, pkt)
		case 7:
			pkt.altered = true
			f.packet(Delivered, pkt)
		default:
			f.packet(Delivered, pkt)
		}
	}
	kept := f.frames.kept()
	require.Len(t, kept, 2*packets)
	counted := 0
	for i, fr := range kept {
		if i%2 == 0 || i%20 == 15 { // sent, or come altered
			counted += len(fr.bytes)
		}
		require.Equal(t, i < f.bare || i%20 == 7, fr.bytes == nil, "the oldest are those without: %d", i)
	}
	require.Equal(t, counted, f.bytes)
	require.LessOrEqual(t, counted, mostFrameBytes)
	require.Greater(t, counted, mostFrameBytes-2*(size+28), "no more is forgotten than has to be")
}

// The path of a packet that a NAT translates ends there, since it goes on as another packet. It is
// not shown in flight until the end of the run.
func TestThePageOfATranslatedPacket(t *testing.T) {
	var r artifacts.Run
	require.NoError(t, Try(t, func(n *Network) error {
		n.OneByOne()
		phone, server, home := n.Host("phone"), n.Host("server"), n.Router("home")
		n.LinkAsym(phone, home, netem.Config{Delay: time.Millisecond, Duplicate: 1}, netem.Config{Delay: time.Millisecond})
		n.Link(home, server, netem.Config{Delay: 10 * time.Millisecond})
		home.NAT(NATConfig{}, phone)
		listen, err := server.ListenPacket("udp", ":9")
		if err != nil {
			return err
		}
		defer listen.Close()
		c, err := phone.Dial("udp", "server:9")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("question")); err != nil {
			return err
		}
		_, from, err := listen.ReadFrom(make([]byte, 10))
		if err != nil {
			return err
		}
		if _, err := listen.WriteTo([]byte("answer"), from); err != nil {
			return err
		}
		time.Sleep(time.Second)
		n.do(func() { n.develop(&r, time.Duration(n.now())) })
		return nil
	}))
	require.Len(t, r.Hosts, 3)
	dir := t.TempDir()
	require.NoError(t, r.Write(dir))
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(page)
	require.NotNil(t, data)
	var run struct {
		Packets map[string][]int64
		Columns []int64
	}
	require.NoError(t, json.Unmarshal(data[1], &run))
	type way struct {
		from, via, to string
		arrives       time.Duration
		fate          int64
	}
	var ways []way
	name := func(host int64) string {
		if host < 0 {
			return ""
		}
		return r.Hosts[host].Name
	}
	var columns []string
	for _, host := range run.Columns {
		columns = append(columns, name(host))
	}
	require.Equal(t, []string{"phone", "home", "server"}, columns, "the router is in the middle, though it was made last")
	at := map[string]int64{} // the columns are told by differences
	for i := range run.Packets["at"] {
		for name, list := range run.Packets {
			at[name] += list[i]
		}
		ways = append(ways, way{name(at["from"]), name(at["via"]), name(at["to"]), time.Duration(at["at"] + at["end"]), at["fate"]})
	}
	const arrived, sentOn = 1, 3
	require.ElementsMatch(t, []way{
		{"phone", "home", "server", time.Millisecond, sentOn}, {"phone", "home", "server", time.Millisecond, sentOn},
		{"home", "", "server", 11 * time.Millisecond, arrived}, {"home", "", "server", 11 * time.Millisecond, arrived},
		{"server", "", "home", 21 * time.Millisecond, arrived}, {"home", "", "phone", 22 * time.Millisecond, arrived},
	}, ways)
	trace, err := os.ReadFile(filepath.Join(dir, "trace.jsonl"))
	require.NoError(t, err)
	require.Regexp(t, `"from":"home","to":"server".*"packet":\d+,"before":0}`, string(trace))
}

// A late copy of data that was read and acknowledged long ago is shown with the bytes that were
// sent: a run that is recorded does not reuse blocks of the program's data.
func TestBlocksAreNotReusedWhileARunIsRecorded(t *testing.T) {
	for _, recorded := range []bool{false, true} {
		require.NoError(t, Try(t, func(n *Network) error {
			c := (*connOutput)(&TCPConn{n: n})
			n.do(func() {
				n.log.film = nil
				if recorded {
					n.log.film = newFilm(n)
				}
				sent := c.NewBlock(pooledBlock)
				c.RetireBlock(sent, 0)
				again := c.NewBlock(pooledBlock)
				require.Equal(t, recorded, &sent[0] != &again[0])
			})
			return nil
		}))
	}
}
