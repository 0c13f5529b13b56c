package artifacts

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A host that sent or got packets has a file of them: one of its own also where another's name differs in case alone.
func TestNamesOfCaptures(t *testing.T) {
	frame := []byte{0x45}
	r := Run{
		Hosts: []Host{{Name: "web"}, {Name: "WEB"}, {Name: "idle"}, {Name: "r", Router: true}},
		Events: []Event{
			{Kind: Sent, From: 0, To: 1, Frame: frame}, {Kind: Delivered, From: 0, To: 1, Frame: frame}, {Kind: Sent, From: 2, To: 1},
			{Kind: Sent, From: 3, To: 1, Frame: frame},
		},
	}
	require.Equal(t, map[int]string{0: "web.pcapng", 1: "WEB-1.pcapng"}, r.captures())
}

// What became of a packet at several places is said in their order.
func TestFatesOfPackets(t *testing.T) {
	r := Run{Events: []Event{
		{Kind: Sent, At: time.Second, Packet: 0},
		{Kind: Held, At: 2 * time.Second, Packet: 0},
		{Kind: Dropped, At: 3 * time.Second, Packet: 0, Note: "link down"},
		{Kind: Dropped, At: 4 * time.Second, Packet: 7, Note: "loss"},
	}}
	require.Equal(t, map[int]string{0: "held at 2s; dropped at 3s: link down", 7: "dropped at 4s: loss"}, r.fates())
}

// A host's capture has what it sent and what it got; of what it sends to itself, each packet once.
func TestACaptureHasEachPacketOnce(t *testing.T) {
	frame := []byte{0x45, 0, 0, 1}
	r := Run{Hosts: []Host{{Name: "a"}, {Name: "b"}}, Events: []Event{
		{Kind: Sent, From: 0, To: 0, Frame: frame}, {Kind: Delivered, From: 0, To: 0, Frame: frame},
		{Kind: Sent, From: 0, To: 1, Frame: frame}, {Kind: Delivered, From: 0, To: 1, Frame: frame},
		{Kind: Sent, From: 1, To: 0, Frame: frame}, {Kind: Dropped, From: 1, To: 0},
	}}
	var inOrder []*Event
	for i := range r.Events {
		inOrder = append(inOrder, &r.Events[i])
	}
	for host, want := range map[int]int{0: 2, 1: 2} {
		var file bytes.Buffer
		require.NoError(t, r.writeCapture(&file, host, inOrder, nil))
		packets := 0
		for b := file.Bytes(); len(b) > 0; b = b[binary.LittleEndian.Uint32(b[4:]):] {
			if binary.LittleEndian.Uint32(b) == blockPacket {
				packets++
			}
		}
		require.Equal(t, want, packets, "host %d", host)
	}
}

// The expected bytes are those that draft-ietf-opsawg-pcapng demands, little-endian.
func TestBytesOfACapture(t *testing.T) {
	var file bytes.Buffer
	c := newCapture(&file, "TestA", "web", "x")
	c.packet(time.Unix(0, 0x0102030405060708), []byte{0x45, 1, 2, 3, 4}, flagInbound, "late")
	c.packet(time.Unix(0, 1), []byte{0x60, 1, 2, 3}, flagOutbound, "")
	require.NoError(t, c.end())
	require.Equal(t, strings.Join([]string{
		"0a0d0d0a", "38000000", "4d3c2b1a", "01000000", "ffffffffffffffff", // a section of version 1.0 and of unknown length
		"01000500", "54657374" + "41000000", "04000600", "737175616c6c0000", "00000000", "38000000",
		"01000000", "30000000", "65000000", "00000000", // an interface of raw IP packets that are captured whole
		"02000300", "77656200", "03000100", "78000000", "09000100", "09000000", "00000000", "30000000",
		"06000000", "3c000000", "00000000", "04030201", "08070605", "05000000", "05000000", "4501020304000000",
		"01000400", "6c617465", "02000400", "01000000", "00000000", "3c000000",
		"06000000", "30000000", "00000000", "00000000", "01000000", "04000000", "04000000", "60010203",
		"02000400", "02000000", "00000000", "30000000",
	}, ""), hex.EncodeToString(file.Bytes()))

	file.Reset()
	c.packet(time.Unix(0, 1), []byte{0x45, 1, 2, 3}, flagOutbound, strings.Repeat("x", 100_000)) // more than an option can hold
	require.NoError(t, c.end())
	require.Equal(t, 48+4+60_000, file.Len())
}

func TestThePageSaysThatAPacketWasHeld(t *testing.T) {
	var p pageRun
	p.packets([]*Event{
		{Kind: Sent, Before: -1}, {Number: 1, Kind: Held, Before: -1, Note: "by a pause"}, {Number: 2, Kind: Delivered, Before: -1, Note: "late"},
	})
	require.Contains(t, p.Words, "held by a pause late")
}
