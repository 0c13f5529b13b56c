package eventlog_test

import (
	"encoding/json"
	"math"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

func TestCursorAsText(t *testing.T) {
	for _, c := range []eventlog.Cursor{{}, {Epoch: 0xe9, Offset: 42}, {Epoch: math.MaxUint64, Offset: math.MaxUint64}} {
		text := c.String()
		require.Equal(t, text, url.QueryEscape(text))
		parsed, err := eventlog.ParseCursor(text)
		require.NoError(t, err)
		require.Equal(t, c, parsed)

		raw, err := json.Marshal(c)
		require.NoError(t, err)
		var back eventlog.Cursor
		require.NoError(t, json.Unmarshal(raw, &back))
		require.Equal(t, c, back)
	}
	require.Equal(t, "e9-42", eventlog.Cursor{Epoch: 0xe9, Offset: 42}.String())
	require.True(t, eventlog.Cursor{}.IsZero())
	require.False(t, eventlog.Cursor{Epoch: 1}.IsZero())
}

func TestParseCursorSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":        `eventlog: cursor "": want <epoch>-<offset>`,
		"42":      `eventlog: cursor "42": want <epoch>-<offset>`,
		"x-1":     `eventlog: cursor "x-1": epoch "x" is not a hexadecimal number of 64 bits`,
		"-1":      `eventlog: cursor "-1": epoch "" is not a hexadecimal number of 64 bits`,
		"e9-":     `eventlog: cursor "e9-": offset "" is not a decimal number of 64 bits`,
		"e9-1-2":  `eventlog: cursor "e9-1-2": offset "1-2" is not a decimal number of 64 bits`,
		"e9--1":   `eventlog: cursor "e9--1": offset "-1" is not a decimal number of 64 bits`,
		"e9-+1":   `eventlog: cursor "e9-+1": offset "+1" is not a decimal number of 64 bits`,
		"e9-0x10": `eventlog: cursor "e9-0x10": offset "0x10" is not a decimal number of 64 bits`,
		"e9-18446744073709551616": `eventlog: cursor "e9-18446744073709551616": ` +
			`offset "18446744073709551616" is not a decimal number of 64 bits`,
	} {
		_, err := eventlog.ParseCursor(text)
		require.EqualError(t, err, want)
		var c eventlog.Cursor
		require.EqualError(t, c.UnmarshalText([]byte(text)), want)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("e9-42")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := eventlog.ParseCursor(text)
		if err != nil {
			return
		}
		again, err := eventlog.ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
