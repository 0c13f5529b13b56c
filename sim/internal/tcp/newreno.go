package tcp

// Loss detection without SACK. Each duplicate acknowledgement stands for a segment that arrived (RFC 6582).

// newRenoMarkLost marks the first segment as lost if there is no SACK: after enough duplicates, or when a partial acknowledgement shows the
// next hole (RFC 6582).
func (c *Conn) newRenoMarkLost(advanced bool) {
	state := c.cc.state
	if state < caRecovery && c.rec.sacked >= uint32(c.rec.reordering) || state == caRecovery && advanced {
		if s := c.tx.front(); s.flag&txLost == 0 {
			c.markLost(c.tx.head)
		}
	}
}

// addRenoSack counts a duplicate acknowledgement as one segment delivered.
func (c *Conn) addRenoSack(dup bool) {
	if c.has&sackOK != 0 || !dup {
		return
	}
	before := c.rec.sacked
	c.rec.sacked++
	c.limitRenoSacked()
	if c.rec.sacked > before {
		c.rec.delivered++
	}
}

// limitRenoSacked keeps the counts consistent and notes reordering.
func (c *Conn) limitRenoSacked() {
	holes := min(max(c.rec.lost, 1), uint32(c.tx.packets()))
	if c.rec.sacked+holes > uint32(c.tx.packets()) {
		c.rec.sacked = uint32(c.tx.packets()) - holes
		c.rec.reordering = uint16(min(c.tx.packets(), maxReordering))
		c.rec.reordSeen = true
	}
}

// removeRenoSacks removes the guesses that the acknowledgement of n segments settles.
func (c *Conn) removeRenoSacks(n int) {
	if n <= 0 {
		return
	}
	c.rec.delivered += uint32(max(n-int(c.rec.sacked), 1))
	if n-1 >= int(c.rec.sacked) {
		c.rec.sacked = 0
	} else {
		c.rec.sacked -= uint32(n - 1)
	}
	c.limitRenoSacked()
}
