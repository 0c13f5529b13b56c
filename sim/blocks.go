package sim

// blockPool keeps large blocks of the program's data for reuse. Packets and receive queues share them with
// the sender, without counting. But once the peer's program has read a block and the block is acknowledged,
// nothing looks at its bytes again: a copy that is still in flight is old to the receiver, which discards it
// unread.
type blockPool struct {
	retired     []retiredBlock // a ring of mostRetired, once there is one
	first, last uint           // of the ring, counted without end
}

type retiredBlock struct {
	mem []byte
	by  *TCPConn
	end uint64 // sequence number after its last byte
}

const (
	pooledBlock  = 64 << 10 // capacity of the blocks in the pool
	mostRetired  = 256      // as much as a connection's buffers can hold
	retiredTries = 4
)

// get returns a block of n bytes, which need not be zero.
func (p *blockPool) get(n int) []byte {
	if n <= pooledBlock/2 || n > pooledBlock {
		return make([]byte, n)
	}
	// Some connection may never be read. The others are after it, in order.
	for i := range min(retiredTries, p.last-p.first) {
		at := &p.retired[(p.first+i)%mostRetired]
		if b := *at; b.by.spent() >= b.end {
			*at = p.retired[p.first%mostRetired]
			p.pop()
			return b.mem[:n]
		}
	}
	return make([]byte, n, pooledBlock)
}

// retire takes back a block of by, whose last byte is before the sequence number end.
func (p *blockPool) retire(mem []byte, by *TCPConn, end uint64) {
	if cap(mem) != pooledBlock {
		return
	}
	if p.last-p.first == mostRetired {
		p.pop() // it may never be read
	}
	p.push(retiredBlock{mem, by, end})
}

func (p *blockPool) pop() retiredBlock {
	at := &p.retired[p.first%mostRetired]
	p.first++
	b := *at
	*at = retiredBlock{}
	return b
}

func (p *blockPool) push(b retiredBlock) {
	if p.retired == nil { // most tests retire none
		p.retired = make([]retiredBlock, mostRetired)
	}
	p.retired[p.last%mostRetired] = b
	p.last++
}
