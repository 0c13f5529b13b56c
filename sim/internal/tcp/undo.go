package tcp

// packetDelayed reports whether the acknowledgement is for a transmission before the first retransmission (Eifel, RFC 3522).
func (c *Conn) packetDelayed() bool {
	return c.rec.retransStamp != 0 && c.echoedBefore(c.rec.retransStamp)
}

func (c *Conn) mayUndo() bool {
	return c.rec.undoMarked && (c.ep.undoRetrans == 0 || c.packetDelayed())
}

// undo reverts the reduction of the window (tcp_undo_cwnd_reduction).
func (c *Conn) undo(unmark bool) {
	g, r := &c.cc, &c.rec
	if unmark {
		for i := c.tx.head; i != c.tx.tail; i++ {
			c.tx.at(i).flag &^= txLost
		}
		r.lost = 0
		r.hint = none
	}
	if ep := c.ep; ep.priorSSThresh != 0 {
		g.cwnd = max(g.cwnd, ep.priorCwnd)
		if ep.priorSSThresh > g.ssthresh {
			g.ssthresh = ep.priorSSThresh
			c.ecn &^= ecnQueueCWR
		}
	}
	g.stamp = c.now
	r.undoMarked = false
	c.rack.advanced = true
}

// holdState keeps a sender without SACK in its state until something above highSeq is acknowledged. Otherwise old duplicates could start a
// second recovery (RFC 6582).
func (c *Conn) holdState() bool {
	if c.una != c.rec.highSeq || c.has&sackOK != 0 {
		return false
	}
	if !c.anyRetransDone() {
		c.rec.retransStamp = 0
	}
	return true
}

func (c *Conn) tryUndoRecovery() bool {
	if c.mayUndo() {
		c.undo(false)
	} else if c.rack.persist > 0 {
		c.rack.persist--
	}
	if c.holdState() {
		return true
	}
	c.cc.state = caOpen
	c.rec.reneged = false
	return false
}

func (c *Conn) tryUndoDSACK() bool {
	if !c.rec.undoMarked || c.ep.undoRetrans != 0 {
		return false
	}
	c.rack.persist = min(rackPersist, c.rack.persist+1)
	c.undo(false)
	return true
}

func (c *Conn) tryUndoLoss(spurious bool) bool {
	if !spurious && !c.mayUndo() {
		return false
	}
	c.undo(true)
	c.retries = 0
	if c.holdState() {
		return true
	}
	if spurious || c.has&sackOK != 0 {
		c.cc.state = caOpen
		c.rec.reneged = false
	}
	return true
}

// tryUndoPartial checks whether a partial acknowledgement in recovery is due to a delayed packet. If it returns true, nothing more must be
// marked or sent.
func (c *Conn) tryUndoPartial(priorUna uint64) bool {
	if !c.rec.undoMarked || !c.packetDelayed() {
		return false
	}
	c.checkReordering(priorUna)
	if c.rec.retrans > 0 {
		return true
	}
	if !c.anyRetransDone() {
		c.rec.retransStamp = 0
	}
	c.undo(true)
	c.tryKeepOpen()
	return false
}
