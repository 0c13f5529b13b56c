package reporttest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"
)

// tshark reads a capture and returns the fields of the packets that a filter lets pass.
func tshark(t *testing.T, file, filter string, fields ...string) (rows [][]string) {
	t.Helper()
	args := []string{"-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|",
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, said.String())
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\n"), "|"))
	}
	return rows
}

// whole fails for a capture with a packet that tshark finds malformed, or whose checksum is wrong. What it says of the reassembly of a
// stream is no matter of a packet: a capture at the sender has retransmissions that it takes for out of order, and then data twice.
func whole(t *testing.T, folder string) (files []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.pcapng"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		require.Empty(t, tshark(t, f, "_ws.malformed.expert || _ws.malformed.dissector_bug || _ws.short", "frame.number", "_ws.col.Info"), f)
		require.Empty(t, tshark(t, f, "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmpv6.checksum.status == 0 || icmp.checksum.status == 0",
			"frame.number", "_ws.col.Info"), f)
		require.NotEmpty(t, tshark(t, f, "ip || ipv6", "frame.number"), f)
	}
	return files
}

func TestTsharkReadsEveryKindOfPacket(t *testing.T) {
	for _, folder := range left(t, "TestVictimKinds", "1-2") {
		files := whole(t, folder)
		seen := map[string]bool{}
		for _, f := range files {
			for name, filter := range map[string]string{
				"fragments": "ip.flags.mf == 1", "fragments of IPv6": "ipv6.fraghdr.more == 1", "datagrams put together": "udp && ip.reassembled.length",
				"and of IPv6": "udp && ipv6.reassembled.length", "ICMP": "icmp", "ICMPv6": "icmpv6.type == 1", "marks": "ip.dsfield.ecn == 3", "resets": "tcp.flags.reset == 1",
				"TCP over IPv6": "ipv6 && tcp",
			} {
				if rows := tshark(t, f, filter, "frame.number"); len(rows) > 0 {
					seen[name] = true
				}
			}
		}
		require.Len(t, seen, 9, "%v", seen)
	}
}

// segment is one that a sender sent.
type segment struct {
	micros int64 // since the start
	seq    uint64
	len    int
}

// On ten lossy downloads tshark calls sent again what the trace does, in the capture of the sender; a probe with new data is not.
func TestTsharkAgreesOnRetransmissions(t *testing.T) {
	folders := left(t, "TestVictimDownload", "1-10")
	require.Len(t, folders, 10)
	all := 0
	for _, folder := range folders {
		whole(t, folder)
		again, dropped := sentAgain(t, filepath.Join(folder, "trace.jsonl"))
		server := filepath.Join(folder, "server.pcapng")
		var found []segment
		first := uint64(0)
		for _, row := range tshark(t, server, "tcp.srcport == 80 && tcp.len > 0", "frame.time_epoch", "tcp.seq_raw", "tcp.len",
			"tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission", "tcp.analysis.out_of_order") {
			seconds, nanos, _ := strings.Cut(row[0], ".")
			s, err := strconv.ParseInt(seconds, 10, 64)
			require.NoError(t, err)
			ns, err := strconv.ParseInt(nanos, 10, 64)
			require.NoError(t, err)
			raw, err := strconv.ParseUint(row[1], 10, 32)
			require.NoError(t, err)
			length, err := strconv.Atoi(row[2])
			require.NoError(t, err)
			if first == 0 {
				first = raw
			}
			if strings.Join(row[3:], "") != "" {
				found = append(found, segment{(s-946684800)*1e6 + ns/1000, uint64(uint32(raw-first)) + 1, length})
			}
		}
		require.Equal(t, again, found, folder)
		require.Len(t, tshark(t, server, "frame.comment contains \"dropped\" && tcp.srcport == 80", "frame.number"), dropped)
		all += len(found)
	}
	require.Greater(t, all, 50, "of 10 times about 700 segments of which 2 %% are lost")
}

// sentAgain are the segments with data that the trace says the server has sent again, less probes with new data, and how many of its
// packets were dropped.
func sentAgain(t *testing.T, file string) (again []segment, dropped int) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	end := uint64(0)
	for in := bufio.NewScanner(f); in.Scan(); {
		var e struct {
			At        int64
			Kind      string
			From      string
			Seq       uint64
			Len       int
			Again     bool
			Squall    int
			Flags     string
			Transport string
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &e))
		if e.From != "server" {
			continue
		}
		if e.Kind == "dropped" {
			dropped++
		}
		if e.Kind != "sent" || e.Len == 0 {
			continue
		}
		if e.Again && e.Seq < end {
			again = append(again, segment{e.At / 1000, e.Seq, e.Len})
		}
		end = max(end, e.Seq+uint64(e.Len))
	}
	sort.SliceStable(again, func(i, j int) bool { return again[i].micros < again[j].micros })
	return again, dropped
}

// gopacket reads the same: every packet decodes to its end, and comments are there.
func TestGopacketReadsTheCaptures(t *testing.T) {
	for _, victim := range []string{"TestVictimKinds", "TestVictimDownload"} {
		for _, folder := range left(t, victim, "1-1") {
			files := whole(t, folder)
			for _, file := range files {
				f, err := os.Open(file)
				require.NoError(t, err)
				defer f.Close()
				r, err := pcapgo.NewNgReader(f, pcapgo.NgReaderOptions{})
				require.NoError(t, err)
				require.Equal(t, layers.LinkTypeRaw, r.LinkType())
				packets := 0
				for ; ; packets++ {
					data, info, err := r.ReadPacketData()
					if err == io.EOF {
						break
					}
					require.NoError(t, err)
					require.Equal(t, info.Length, info.CaptureLength)
					require.Equal(t, 2000, info.Timestamp.UTC().Year())
					first := gopacket.Decoder(layers.LayerTypeIPv4)
					if data[0]>>4 == 6 {
						first = layers.LayerTypeIPv6
					}
					p := gopacket.NewPacket(data, first, gopacket.DecodeOptions{NoCopy: true})
					if e := p.ErrorLayer(); e != nil && !quoted(p) {
						require.NoError(t, e.Error(), "%s, packet %d: %v", filepath.Base(file), packets+1, p)
					}
				}
				require.Positive(t, packets, fmt.Sprint(file))
			}
		}
	}
}

// quoted says whether a packet is one of ICMP, whose quotation ends in the middle of a header.
func quoted(p gopacket.Packet) bool {
	return p.Layer(layers.LayerTypeICMPv4) != nil || p.Layer(layers.LayerTypeICMPv6) != nil
}
