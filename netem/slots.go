package netem

import (
	"fmt"
	"time"
)

// Slots lets packets out in bunches, as a shared medium (cable, radio) or a sleeping receiver does. Packets
// that are ready by the beginning of a slot leave then, as far as the slot has room. After a full slot the
// next one begins Min to Max (uniform) later. Otherwise the next slot begins Min to Max after the next packet
// becomes ready. The zero value has no slots.
//
// These are tc-netem's slots, except for the order: tc's act after the delay.
type Slots struct {
	Min, Max time.Duration // 0 to 24 h

	// Distribution is another shape for the time to the next slot. The middle of Min and Max is its delay,
	// and half of what is between them its jitter: tc's slot distribution.
	Distribution Distribution

	Packets int // most packets in a slot; 0 means no limit
	Bytes   int // a slot ends with the packet that reaches this; 0 means no limit
}

func (s Slots) none() bool {
	return s.Min == 0 && s.Max == 0 && s.Distribution == nil && s.Packets == 0 && s.Bytes == 0
}

func (s Slots) invalid() string {
	switch {
	case s.none():
		return ""
	case s.Min < 0 || s.Max > maxDelay || s.Min > s.Max:
		return "Min and Max must be in [0s,24h], and Min not above Max"
	case s.Max == 0:
		return "Max must be positive"
	case s.Packets < 0 || s.Bytes < 0:
		return "limits must not be negative"
	}
	switch d := s.Distribution.(type) {
	case nil:
	case Shape:
		if d > LogNormal {
			return "Distribution must be one of the Shapes"
		}
		if s.Min == s.Max {
			return "Distribution needs a Max above Min"
		}
	default:
		return "Distribution must be one of the Shapes"
	}
	return ""
}

// String returns the slots as Go writes them.
func (s Slots) String() string {
	text := fmt.Sprintf("Slots{Min: %v, Max: %v", s.Min, s.Max)
	if s.Distribution != nil {
		text += fmt.Sprintf(", Distribution: %v", s.Distribution)
	}
	return text + fmt.Sprintf(", Packets: %d, Bytes: %d}", s.Packets, s.Bytes)
}

// slotState is the slot that packets wait for, or leave in.
type slotState struct {
	began          bool
	at             time.Duration
	packets, bytes int // that left in it
}

// leave returns when a packet leaves that is ready at an instant.
func (s *slotState) leave(cfg Slots, size int, ready time.Duration, d draws) time.Duration {
	if !s.began || s.at < ready {
		*s = slotState{began: true, at: ready + cfg.until(d.lane(0))}
	}
	at := s.at
	s.packets++
	s.bytes += size
	if cfg.Packets > 0 && s.packets >= cfg.Packets || cfg.Bytes > 0 && s.bytes >= cfg.Bytes {
		*s = slotState{began: true, at: at + cfg.until(d.lane(1))}
	}
	return min(at, endOfTime)
}

// until returns the time to the next slot.
func (s Slots) until(u uint64) time.Duration {
	if s.Distribution == nil {
		return s.Min + time.Duration(below(u, uint64(s.Max-s.Min)+1))
	}
	middle, half := s.Min+(s.Max-s.Min)/2, (s.Max-s.Min)/2
	return max(0, middle+s.Distribution.Offset(u, half))
}
