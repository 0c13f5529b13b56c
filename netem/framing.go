package netem

import "fmt"

// Framing is what a link layer makes of a packet of n bytes, as in tc-netem's rate: n+Overhead bytes. With
// cells it is as many cells of Cell bytes as that takes, each with CellOverhead more bytes. ATM is {Cell: 48,
// CellOverhead: 5}.
type Framing struct {
	Overhead     int // bytes for each packet, 0 to 65535
	Cell         int // payload of a cell, in bytes; 0 means no cells
	CellOverhead int // bytes for each cell, 0 to 65535; refused without Cell
}

// maxWire bounds the size of a packet on the line, so that its work does not overflow.
const maxWire = 1 << 20

func (f Framing) wire(size int) int {
	size += f.Overhead
	if f.Cell > 0 {
		size = (size + f.Cell - 1) / f.Cell * (f.Cell + f.CellOverhead)
	}
	return size
}

func (f Framing) invalid(mtu int) string {
	switch {
	case f.Overhead < 0 || f.Overhead > maxMTU:
		return fmt.Sprintf("Overhead must be in [0,%d]", maxMTU)
	case f.Cell < 0 || f.Cell > maxMTU:
		return fmt.Sprintf("Cell must be 0 (for none) or in [1,%d]", maxMTU)
	case f.CellOverhead < 0 || f.CellOverhead > maxMTU:
		return fmt.Sprintf("CellOverhead must be in [0,%d]", maxMTU)
	case f.CellOverhead > 0 && f.Cell == 0:
		return "CellOverhead needs a Cell"
	case f.wire(mtu) > maxWire:
		return fmt.Sprintf("makes %d bytes of a packet of the MTU: at most %d are allowed", f.wire(mtu), maxWire)
	}
	return ""
}

// String returns the framing as Go writes it.
func (f Framing) String() string {
	return fmt.Sprintf("Framing{Overhead: %d, Cell: %d, CellOverhead: %d}", f.Overhead, f.Cell, f.CellOverhead)
}
