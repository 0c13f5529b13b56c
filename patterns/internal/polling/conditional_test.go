package polling

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

func TestWhichTagsMatch(t *testing.T) {
	version := eventlog.Cursor{Epoch: 0xe1, Offset: 7}
	require.Equal(t, `"e1-7"`, Tag(version))
	for _, row := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{`"e1-7"`}, true},
		{[]string{`W/"e1-7"`}, true},
		{[]string{`"x", "e1-7"`}, true},
		{[]string{`"e1-7","x"`}, true},
		{[]string{`"x"`, `"e1-7"`}, true},
		{[]string{"*"}, true},
		{[]string{`"e1-70"`}, false},
		{[]string{`"xe1-7"`}, false},
		{[]string{"e1-7"}, false},
	} {
		r := &http.Request{Header: http.Header{"If-None-Match": row.lines}}
		require.Equal(t, row.want, Matches(r, version), "%q", row.lines)
		require.Equal(t, len(row.lines) == 1 && row.lines[0] == "*", MatchesAny(r), "%q", row.lines)
	}
}
