package tcp

import "encoding/binary"

// A Parked is a connection with nothing under way, in a third of the memory. Most connections are waiting, and most of their fields are
// small or close to another field.
type Parked struct {
	cfg      *Config
	keepAt   Time
	iss, irs uint32
	fields   []byte // the other fields, as pack encodes them: 120 to 200 bytes
}

// Park moves c, which must not be used afterwards, into p. If something is under way, it does nothing and returns false.
func (c *Conn) Park(p *Parked) bool {
	if c.state != Established || c.events != 0 || c.taken != 0 || c.rtxAt != Never || c.AckTimer() != Never || c.probes != 0 || c.nxt < c.end ||
		!c.tx.empty() || c.snd != nil || c.rcvq != nil || c.ooo != nil || c.ep != nil || c.cub != nil || c.rec.hint != none {
		return false
	}
	p.cfg, p.keepAt, p.iss, p.irs = c.cfg, c.keepAt, c.iss, c.irs
	var k packer
	c.pack(&k)
	p.fields = append(p.fields[:0], k.buf[:k.at]...)
	return true
}

// Unpark overwrites c with the parked connection.
func (p *Parked) Unpark(c *Conn, out Output) {
	*c = Conn{cfg: p.cfg, out: out, keepAt: p.keepAt, iss: p.iss, irs: p.irs, state: Established, rtxAt: Never, ackAt: Never}
	c.tx.first, c.tx.last, c.rec.hint = none, none, none
	k := packer{reads: true}
	copy(k.buf[:], p.fields)
	c.pack(&k)
}

// NextTimer is like [Conn.NextTimer].
func (p *Parked) NextTimer() Time { return p.keepAt }

// KeepsAlive is like [Conn.KeepsAlive].
func (p *Parked) KeepsAlive() (fails, every Time, ok bool) {
	fails, every = p.cfg.keepsAlive(p.keepAt, 0)
	return fails, every, true
}

// Numbers is like [Conn.Numbers].
func (p *Parked) Numbers() Numbers { return Numbers{p.iss, p.irs} }

// pack writes or reads all fields that may differ between connections with nothing under way. It encodes a sequence number or time as the
// difference from another one that is likely to be close.
func (c *Conn) pack(k *packer) {
	k.time(&c.now, 0)
	for _, t := range []*Time{
		&c.lastSent, &c.lastData, &c.lastAck, &c.lastSegment, &c.tsRecent, &c.rcvEcho, &c.lastOutOfWindow,
		&c.cc.stamp, &c.tune.at, &c.tune.rttAt, &c.rec.retransStamp,
	} {
		k.time(t, c.now)
	}
	for _, t := range []*Time{
		&c.ato, &c.probedSince, &c.rtt.srtt8, &c.rtt.mdev, &c.rtt.mdevMax, &c.rtt.rttvar, &c.rtt.rto, &c.rack.rtt, &c.tune.rtt8,
	} {
		k.time(t, 0)
	}
	k.seq(&c.nxt, 0)
	for _, s := range []*uint64{&c.una, &c.end, &c.rtt.seq, &c.cc.usageSeq, &c.rec.highSeq, &c.rec.tlpHigh} {
		k.seq(s, c.nxt)
	}
	k.seq(&c.rcvNxt, 0)
	for _, s := range []*uint64{&c.wl1, &c.rcvWup, &c.copied, &c.rcvMax, &c.tune.seq, &c.tune.rttSeq} {
		k.seq(s, c.rcvNxt)
	}
	var near minSample
	for i := range c.rtt.best {
		k.u32(&c.rtt.best[i].at, near.at)
		k.u32(&c.rtt.best[i].rtt, near.rtt)
		near = c.rtt.best[i]
	}
	c.packSmall(k)
}

// packSmall is the part of pack for fields of 32 bits or less.
func (c *Conn) packSmall(k *packer) {
	for _, v := range []*uint32{
		&c.tx.head, &c.tx.merged, &c.cc.cwnd, &c.cc.ssthresh, &c.cc.count, &c.cc.used, &c.cc.maxOut, &c.rack.order, &c.rack.lastDelivered,
		&c.rec.sacked, &c.rec.lost, &c.rec.retrans, &c.rec.delivered, &c.rec.lostTotal, &c.rec.duplicates, &c.tune.space, &c.tune.echo, &c.wnd,
		&c.rcvWnd, &c.segsIn, &c.segsOut, &c.retransTotal, &c.rtoTotal,
	} {
		k.u32(v, 0)
	}
	k.u32(&c.tx.tail, c.tx.head)
	k.u32(&c.maxWnd, c.wnd)
	k.u32(&c.rcvSSThresh, c.rcvWnd)
	k.u32(&c.wndClamp, c.rcvWnd)
	for _, v := range []*int32{&c.sndbuf, &c.rcvbuf, &c.rmem} {
		whole(k, v)
	}
	for _, v := range []*uint16{&c.rec.reordering, &c.rcvMSS, &c.lastLen, &c.mss, &c.mssClamp, &c.advMSS, &c.mtu} {
		whole(k, v)
	}
	for _, v := range []*uint8{&c.rack.steps, &c.rack.persist, &c.quick, &c.backoff, &c.retries, &c.sndScale, &c.rcvScale, &c.scalingRatio} {
		whole(k, v)
	}
	whole(k, &c.cc.state)
	whole(k, &c.err)
	whole(k, &c.softErr)
	whole(k, &c.timer)
	whole(k, &c.ack)
	whole(k, &c.has)
	whole(k, &c.ecn)
	whole(k, &c.flag)
	k.bools(&c.cc.limited, &c.rack.advanced, &c.rack.dsackSeen, &c.rec.undoMarked, &c.rec.tlpRetrans, &c.rec.frto, &c.rec.reordSeen, &c.rec.reneged)
}

// A packer encodes variables into bytes, or decodes them.
type packer struct {
	buf   [640]byte // 35 fields of 64 bits take up to 10 bytes each, 35 of 32 bits up to 5, and 25 smaller ones up to 3
	at    int       // index of the next byte
	reads bool
}

// int writes or reads a number. Small numbers take fewer bytes.
func (k *packer) int(v int64) int64 {
	if !k.reads {
		k.at += binary.PutVarint(k.buf[k.at:], v)
		return v
	}
	v, size := binary.Varint(k.buf[k.at:])
	k.at += size
	return v
}

// time writes or reads a time as its difference from near. Most differences are 0 or whole milliseconds.
func (k *packer) time(t *Time, near Time) {
	switch d := int64(*t - near); {
	case k.reads:
		switch d := k.int(0); {
		case d == 0:
			*t = 0
		case d&1 == 0:
			*t = near + Time(d>>1-1)*packedUnit
		default:
			*t = near + Time(d>>1)
		}
	case *t == 0:
		k.int(0)
	case d%packedUnit == 0 && d >= 0:
		k.int((d/packedUnit + 1) << 1)
	default:
		k.int(d<<1 | 1)
	}
}

const packedUnit = 1_000_000 // ns

func (k *packer) seq(s *uint64, near uint64) { *s = near + uint64(k.int(int64(*s-near))) }
func (k *packer) u32(v *uint32, near uint32) { *v = near + uint32(k.int(int64(int32(*v-near)))) }

func whole[T ~uint8 | ~uint16 | ~int32](k *packer, v *T) { *v = T(k.int(int64(*v))) }

func (k *packer) bools(all ...*bool) {
	set := int64(0)
	for i, b := range all {
		if *b {
			set |= 1 << i
		}
	}
	set = k.int(set)
	for i, b := range all {
		*b = set&(1<<i) != 0
	}
}
