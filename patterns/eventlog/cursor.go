package eventlog

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a position between two entries of a log: after the entry with that
// offset, or before the first if Offset is 0. The zero Cursor is not a position
// of any log; a read from it is answered with [ReasonWrongEpoch].
type Cursor struct {
	Epoch  uint64 // the incarnation of the log; see [Options]
	Offset uint64 // of the entry before the position
}

// ParseCursor parses the text that [Cursor.String] returns.
func ParseCursor(text string) (Cursor, error) {
	epoch, offset, ok := strings.Cut(text, "-")
	if !ok {
		return Cursor{}, fmt.Errorf("eventlog: cursor %q: want <epoch>-<offset>", text)
	}
	e, err := strconv.ParseUint(epoch, 16, 64)
	if err != nil {
		return Cursor{}, fmt.Errorf("eventlog: cursor %q: epoch %q is not a hexadecimal number of 64 bits", text, epoch)
	}
	o, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return Cursor{}, fmt.Errorf("eventlog: cursor %q: offset %q is not a decimal number of 64 bits", text, offset)
	}
	return Cursor{Epoch: e, Offset: o}, nil
}

// String returns the cursor as text that needs no escaping in URLs and headers:
// the epoch in hexadecimal, a hyphen, the offset in decimal.
func (c Cursor) String() string {
	return strconv.FormatUint(c.Epoch, 16) + "-" + strconv.FormatUint(c.Offset, 10)
}

// IsZero reports whether c is the zero Cursor, which is no position.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// MarshalText writes the cursor as [Cursor.String] does.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the cursor as [ParseCursor] does.
func (c *Cursor) UnmarshalText(text []byte) error {
	parsed, err := ParseCursor(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
