package sim

import "net/netip"

// A receiveBuffer holds the datagrams that wait to be read. As in Linux, its bound is on the memory that they
// take, not on their bytes (__udp_enqueue_schedule_skb). A datagram that finds the buffer empty is accepted
// whatever its size.
type receiveBuffer struct {
	queue []datagram
	first int // the first that is not read yet
	used  int // bytes of memory
	limit int

	// The memory of datagrams that were read is given back in steps of a quarter of the limit, or when the
	// reader has read all that was there when it last looked (udp_rmem_release).
	freed int
	seen  int // datagrams at the front of the queue that the reader has looked at
}

type datagram struct {
	from netip.AddrPort
	by   moment // when it was written
	data []byte
	size int // of memory
}

// The receive buffer that net.core gives a socket, and the bounds on what the socket can ask for.
const (
	defaultReceiveBuffer = 212992  // rmem_default
	maxReceiveBuffer     = 4 << 20 // rmem_max since Linux 6.16; 212992 before
	minReceiveBuffer     = 2304    // SOCK_MIN_RCVBUF
)

// resize sets the limit to twice the bytes that a program asks for, within bounds (SO_RCVBUF).
func (b *receiveBuffer) resize(bytes int) {
	b.limit = max(2*min(bytes, maxReceiveBuffer), minReceiveBuffer)
}

// put adds d, and reports whether there was room for it.
func (b *receiveBuffer) put(d datagram) bool {
	if b.used > 0 && b.used+d.size > b.limit {
		return false
	}
	b.used += d.size
	if b.first > len(b.queue)/2 && len(b.queue) == cap(b.queue) { // so that a queue that is never empty does not grow forever
		kept := copy(b.queue, b.queue[b.first:])
		clear(b.queue[kept:])
		b.queue, b.first = b.queue[:kept], 0
	}
	b.queue = append(b.queue, d)
	return true
}

// waiting returns the number of datagrams.
func (b *receiveBuffer) waiting() int { return len(b.queue) - b.first }

// take returns the first datagram.
func (b *receiveBuffer) take() datagram {
	if b.seen == 0 {
		b.seen = b.waiting()
	}
	d := b.queue[b.first]
	b.queue[b.first] = datagram{}
	if b.first++; b.first == len(b.queue) {
		b.queue, b.first = b.queue[:0], 0
	}
	b.seen--
	if b.freed += d.size; b.freed >= b.limit/4 || b.seen == 0 {
		b.used -= b.freed
		b.freed = 0
	}
	return d
}

const (
	skbHead   = 256                            // struct sk_buff, aligned
	skbShared = 320                            // struct skb_shared_info, aligned
	skbSmall  = 576                            // of the cache for small packets, skbuff_small_head
	skbFront  = 16                             // room for the link's header
	skbSpare  = 15                             // that IP asks for in addition
	skbLinear = 16384 - skbShared - skbFront*2 // above this the payload is in pages
)

// skbAllocation returns the memory that the kernel allocates for the bytes of an IP packet that is not too
// large for it.
func skbAllocation(packet int) int {
	need := packet + skbFront + skbSpare + skbShared
	if need <= skbSmall {
		return skbSmall
	}
	size := 1024
	for size < need {
		size *= 2
	}
	return size
}

// truesize returns the memory that Linux counts for an IP packet of UDP: skb->truesize as the sender's kernel
// has allocated it, which is what a receiver sees over a virtual link (measured on Linux 6.18, amd64). header
// is that of IP. A network card's driver may take more.
func truesize(packet, header int) int {
	if packet > skbLinear {
		return skbHead + skbSmall + packet - header - udpHeader
	}
	return skbHead + skbAllocation(packet)
}

// headRoom returns the room left after the packet in its buffer.
func headRoom(packet int) int {
	if packet > skbLinear {
		return 0
	}
	return skbAllocation(packet) - skbShared - skbFront - packet
}
