package sidecar

import "bytes"

// drops are the lines that must not be passed on. If a head needs no other change, which is the
// usual case, the parts between them are passed on unchanged.
type drops struct {
	lines  [6]struct{ from, to int32 }
	count  int8
	others bool // there are more of them, or lines that change
}

func (d *drops) add(from, to int) {
	if int(d.count) == len(d.lines) {
		d.others = true
		return
	}
	d.lines[d.count].from, d.lines[d.count].to = int32(from), int32(to)
	d.count++
}

// readFields parses the fields that matter to the proxy, and checks the syntax
// of all.
func (m *message) readFields() error {
	for at := 0; at < len(m.fields); {
		name, value, size := nextField(m.fields[at:])
		if size == 0 {
			return bad("a header field is malformed")
		}
		k := known(name)
		switch {
		case ownHop(k):
			m.dropped.add(at, at+size)
		case k == fieldUpgrade, k == fieldTE, len(name)+len(value)+4 != size, m.fields[at+len(name)+1] != ' ':
			m.dropped.others = true
		}
		if k == fieldConnection {
			if err := m.connection(value); err != nil {
				return err
			}
		} else if err := m.field(k, value); err != nil {
			return err
		}
		at += size
	}
	return nil
}

// nextField returns the first of some lines, and its length: 0 if it is malformed, for example
// folded.
func nextField(lines []byte) (name, value []byte, size int) {
	colon := 0
	for _, c := range lines {
		if !tokens[c] {
			break
		}
		colon++
	}
	if colon == 0 || colon == len(lines) || lines[colon] != ':' {
		return nil, nil, 0
	}
	rest, end := lines[colon+1:], 0
	for _, c := range rest {
		if !texts[c] {
			break
		}
		end++
	}
	if end+1 >= len(rest) || rest[end] != '\r' || rest[end+1] != '\n' {
		return nil, nil, 0
	}
	return lines[:colon], trim(rest[:end]), colon + 1 + end + 2
}

// fieldsOf yields the names and values of lines whose syntax was checked.
func fieldsOf(lines []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for len(lines) > 0 {
			name, value, size := nextField(lines)
			if size == 0 || !yield(name, value) {
				return
			}
			lines = lines[size:]
		}
	}
}

// ownHop reports whether the proxy never passes on a field: it writes its own, or none.
func ownHop(k int) bool {
	switch k {
	case fieldConnection, fieldHop, fieldCoding, fieldHost, fieldTimeout:
		return true
	}
	return false
}

// passFields appends the fields to pass on, unchanged.
func (m *message) passFields(out []byte, keepLength bool) []byte {
	if d := &m.dropped; !d.others && len(m.options) == 0 && (keepLength || !m.sized) {
		from := 0
		for _, line := range d.lines[:d.count] {
			out = append(out, m.fields[from:line.from]...)
			from = int(line.to)
		}
		return append(out, m.fields[from:]...)
	}
	return m.passEach(out, keepLength)
}

// passEach is passFields line by line.
func (m *message) passEach(out []byte, keepLength bool) []byte {
	for name, value := range fieldsOf(m.fields) {
		k := known(name)
		if ownHop(k) {
			continue
		}
		switch k {
		case fieldUpgrade:
			if m.upgrade == nil {
				continue
			}
		case fieldTE:
			if !containsTrailers(value) {
				continue
			}
			value = []byte("trailers")
		case fieldLength:
			if !keepLength {
				continue
			}
		default:
			if m.listed(name) {
				continue
			}
		}
		out = appendField(out, name, value)
	}
	return out
}

func appendField(out, name, value []byte) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}

func containsTrailers(te []byte) bool {
	for coding := range bytes.SplitSeq(te, []byte(",")) {
		if equal(trim(coding), "trailers") {
			return true
		}
	}
	return false
}

func (m *message) listed(name []byte) bool {
	for _, option := range m.options {
		if bytes.EqualFold(option, name) {
			return true
		}
	}
	return false
}
