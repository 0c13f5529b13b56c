package artifacts

import (
	"bytes"
	"encoding/binary"
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
