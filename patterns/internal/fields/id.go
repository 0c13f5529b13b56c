package fields

// ValidID reports whether a text can be the ID of a job, which is a segment of a URL's path: 1 to
// 128 of the characters that RFC 3986, section 2.3 calls unreserved, but neither "." nor "..".
func ValidID(id string) bool {
	if len(id) < 1 || len(id) > 128 || id == "." || id == ".." {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
