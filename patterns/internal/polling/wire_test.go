package polling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Servers and clients of several versions meet. These answers are what the first version
// sent, to the byte; the last is one of a version to come.
func TestAnswersOfTheFirstVersion(t *testing.T) {
	at := func(offset uint64) eventlog.Cursor { return eventlog.Cursor{Epoch: 0xe9, Offset: offset} }
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for body, page := range map[string]eventlog.Page{
		`{"cursor":"e9-2","events":[{"offset":1,"time":"2000-01-01T00:00:00Z"},{"offset":2,"topic":"a \u003cb\u003e\u2028","time":"2000-01-01T00:00:01.5Z","data":"AP94"}],"more":true}`: {
			Next: at(2), More: true,
			Entries: []eventlog.Entry{
				{Offset: 1, Time: start},
				{Offset: 2, Topic: "a <b>\u2028", Time: start.Add(1500 * time.Millisecond), Data: []byte{0, 0xff, 'x'}},
			},
		},
		`{"cursor":"e9-4"}`:                       {Next: at(4)},
		`{"cursor":"e9-0","reset":"wrong-epoch"}`: {Next: at(0), Reset: eventlog.ReasonWrongEpoch},
		`{"cursor":"e9-0","reset":"future"}`:      {Next: at(0), Reset: eventlog.ReasonFuture},
		`{"cursor":"e9-1","reset":"compacted"}`:   {Next: at(1), Reset: eventlog.ReasonCompacted},
	} {
		sent, err := EncodePage(page)
		require.NoError(t, err)
		require.Equal(t, body, string(sent))
		got, err := ParsePage([]byte(body))
		require.NoError(t, err)
		require.Equal(t, page, got)
	}

	got, err := ParsePage([]byte(`{"v":2,"cursor":"e9-4","events":[{"offset":4,"key":"k","time":"2000-01-01T00:00:00Z"}],"reset":""}`))
	require.NoError(t, err)
	require.Equal(t, eventlog.Page{Next: at(4), Entries: []eventlog.Entry{{Offset: 4, Time: start}}}, got)
}

// An entry travels with all that it is.
func TestAnEntryTravelsWhole(t *testing.T) {
	page := eventlog.Page{Next: eventlog.Cursor{Epoch: 1, Offset: 7}, Entries: []eventlog.Entry{{
		Offset: 7, Topic: "t", Data: []byte("x"),
		Time:    time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Expires: time.Date(2026, 1, 2, 4, 4, 5, 6, time.UTC),
	}}}
	body, err := EncodePage(page)
	require.NoError(t, err)
	got, err := ParsePage(body)
	require.NoError(t, err)
	require.Equal(t, page, got)
}

// An entry with times that JSON does not have stops no reader.
func TestTimesBeyondThoseOfJSON(t *testing.T) {
	body, err := EncodePage(eventlog.Page{Next: eventlog.Cursor{Epoch: 1, Offset: 7}, Entries: []eventlog.Entry{{
		Offset: 7, Time: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), Expires: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
	}}})
	require.NoError(t, err)
	require.Equal(t, `{"cursor":"1-7","events":[{"offset":7,"time":"0000-01-01T00:00:00Z"}]}`, string(body))
}
