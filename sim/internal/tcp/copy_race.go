//go:build race

package tcp

// CopyBytes copies between the program's buffers and the connection's, unseen by the race
// detector: whoever passes a buffer of the program's says itself what becomes of it. The
// built-in function would be seen in spite of go:norace.
//
//go:norace
func CopyBytes(dst, src []byte) int {
	n := min(len(dst), len(src))
	i := 0
	for ; i+256 <= n; i += 256 {
		*(*[256]byte)(dst[i:]) = *(*[256]byte)(src[i:])
	}
	for ; i < n; i++ {
		dst[i] = src[i]
	}
	return n
}
