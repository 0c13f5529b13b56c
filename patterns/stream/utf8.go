package stream

import "unicode/utf8"

// toUTF8 decodes as the WHATWG Encoding standard's UTF-8 decoder does: each longest
// beginning of a character that does not become one is replaced by U+FFFD. (Go
// replaces each byte; strings.ToValidUTF8 replaces runs.) Lines and fields end at
// ASCII characters, so a value can be decoded by itself.
func toUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			size = beginning(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[size:]
	}
	return out
}

// beginning returns how many bytes at the start of b begin a character, but do not
// make one. It is at least 1.
func beginning(b []byte) int {
	low, high, length := byte(0x80), byte(0xbf), 0
	switch first := b[0]; {
	case first >= 0xc2 && first <= 0xdf:
		length = 2
	case first >= 0xe0 && first <= 0xef:
		length = 3
		if first == 0xe0 {
			low = 0xa0 // no overlong forms
		} else if first == 0xed {
			high = 0x9f // no surrogates
		}
	case first >= 0xf0 && first <= 0xf4:
		length = 4
		if first == 0xf0 {
			low = 0x90
		} else if first == 0xf4 {
			high = 0x8f // nothing above U+10FFFF
		}
	}
	n := 1
	for n < length && n < len(b) && low <= b[n] && b[n] <= high {
		low, high = 0x80, 0xbf
		n++
	}
	return n
}
