package artifacts

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

var (
	client  = netip.MustParseAddrPort("10.0.0.1:4660") // 0x1234
	server  = netip.MustParseAddrPort("10.0.0.2:80")
	client6 = netip.MustParseAddrPort("[fd00::1]:4660")
	server6 = netip.MustParseAddrPort("[fd00::2]:80")
)

// The bytes were computed by hand from RFC 791, RFC 9293, RFC 7323 and RFC 2018.
func TestBytesOfASYN(t *testing.T) {
	s := &tcp.Segment{Flags: tcp.SYN, ISS: 0xfffffffe, Window: 64240, MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 258 * time.Millisecond, HasScale: true, Scale: 7}
	got := Header{From: client.Addr(), To: server.Addr(), DF: true}.IP(protoTCP, TCP(s, client, server, 7))

	want := "4500003c 00004000 4006" + "26ba" + "0a000001 0a000002" + // the sum of the other words is 0xd945
		"12340050 fffffffe 00000000 a002faf0" + hex.EncodeToString(got[36:38]) + "0000" +
		"020405b4 0402080a 00000102 00000000 01030307"
	require.Equal(t, strings.ReplaceAll(want, " ", ""), hex.EncodeToString(got), "a window in a SYN is not scaled")
	requireSums(t, got)
}

func TestBytesOfSegments(t *testing.T) {
	s := &tcp.Segment{Flags: tcp.ACK | tcp.PSH, ISS: 0xfffffffe, IRS: 1000, Seq: 3, Ack: 5, Window: 256, Payload: []byte("odd"), ECT: true,
		SACKLen: 1, SACK: [4]tcp.Block{{Start: 7, End: 9}}}
	got := TCP(s, client, server, 7)
	require.Equal(t, "12340050"+"00000001"+"000003ed"+"80180002", hex.EncodeToString(got[:16]), "0xfffffffe+3 wraps to 1; 1000+5; 256>>7")
	require.Equal(t, "0101050a"+"000003ef"+"000003f1"+hex.EncodeToString([]byte("odd")), hex.EncodeToString(got[20:]))
	require.Equal(t, byte(2), Header{From: client.Addr(), To: server.Addr(), ECT: true}.IP(protoTCP, got)[1]&3, "ECT(0)")
	for _, ends := range [][2]netip.AddrPort{{client, server}, {client6, server6}} {
		requireSums(t, Header{From: ends[0].Addr(), To: ends[1].Addr()}.IP(protoTCP, TCP(s, ends[0], ends[1], 0)))
		requireSums(t, Header{From: ends[0].Addr(), To: ends[1].Addr()}.IP(protoUDP, UDP([]byte("odd"), ends[0], ends[1])))
	}
}

// A datagram whose checksum comes to zero says that it has one: all ones (RFC 768).
func TestChecksumOfADatagramIsNeverZero(t *testing.T) {
	none := UDP([]byte{0, 0}, client, server)
	sum := uint16(none[6])<<8 | uint16(none[7])
	got := UDP([]byte{byte(sum >> 8), byte(sum)}, client, server)
	require.Equal(t, []byte{0xff, 0xff}, got[6:8])
}

func TestFragmentsAreTheWhole(t *testing.T) {
	whole := UDP([]byte(strings.Repeat("0123456789", 10)), client, server) // 108 bytes
	var all []byte
	for at := 0; at < len(whole); at += 40 {
		h := Header{From: client.Addr(), To: server.Addr(), Cut: true, ID: 9, Offset: at}
		f := h.Fragment(protoUDP, whole, at+40)
		require.Equal(t, uint16(at/8), (uint16(f[6])<<8|uint16(f[7]))&0x1fff)
		require.Equal(t, at+40 < len(whole), f[6]&0x20 != 0, "more fragments, at %d", at)
		all = append(all, f[20:]...)

		h.From, h.To = client6.Addr(), server6.Addr()
		f = h.Fragment(protoUDP, whole, at+40)
		require.Equal(t, byte(protoFragment), f[6])
		require.Equal(t, len(f)-40, int(f[4])<<8|int(f[5]))
		require.Equal(t, at+40 < len(whole), f[43]&1 != 0)
		require.Equal(t, uint16(at), (uint16(f[42])<<8|uint16(f[43]))&^7)
	}
	require.Equal(t, whole, all)
}

func TestMessagesQuoteWhatTheyAreAbout(t *testing.T) {
	about := Header{From: server.Addr(), To: client.Addr()}.IP(protoUDP, UDP(make([]byte, 2000), server, client))
	got := ICMP(3, 4, 1400, about, client.Addr(), server.Addr())
	require.Len(t, got, 8+20+8)
	require.Equal(t, "0304", hex.EncodeToString(got[:2]))
	require.Equal(t, "00000578", hex.EncodeToString(got[4:8]))
	require.Equal(t, uint16(0xffff), sum(0, got))

	about = Header{From: server6.Addr(), To: client6.Addr()}.IP(protoUDP, UDP(make([]byte, 2000), server6, client6))
	got = Header{From: client6.Addr(), To: server6.Addr()}.IP(protoICMP6, ICMP(2, 0, 1400, about, client6.Addr(), server6.Addr()))
	require.Len(t, got, 1280)
	requireSums(t, got)
}

// requireSums checks the checksums of a packet.
func requireSums(t *testing.T, packet []byte) {
	t.Helper()
	proto, payload, ends := packet[9], packet[20:], packet[12:20]
	if packet[0]>>4 == 6 {
		proto, payload, ends = packet[6], packet[40:], packet[8:40]
	} else {
		require.Equal(t, uint16(0xffff), sum(0, packet[:20]), "IP's header")
	}
	pseudo := sum(sum(sum(0, ends), []byte{0, proto}), []byte{byte(len(payload) >> 8), byte(len(payload))})
	require.Equal(t, uint16(0xffff), sum(pseudo, payload), "of protocol %d", proto)
}

func TestFileNames(t *testing.T) {
	require.Equal(t, "ST-27_lost=answer", FileName("ST-27_lost=answer"))
	names := map[string]bool{}
	for _, text := range []string{"a/b", "a:b", "a_b", "..", ".", "", "ä", "ö", strings.Repeat("x", 200), strings.Repeat("x", 201)} {
		name := FileName(text)
		require.False(t, names[name], "%q is taken: %q", name, text)
		names[name] = true
		require.NotContains(t, name, "/")
		require.NotEqual(t, byte('.'), name[0])
		require.LessOrEqual(t, len(name), 120)
	}
}
