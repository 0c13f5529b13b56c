//go:build !race

package tcp

// CopyBytes copies between the program's buffers and the connection's.
func CopyBytes(dst, src []byte) int { return copy(dst, src) }
