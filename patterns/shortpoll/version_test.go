package shortpoll_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// A log that the first version has written, to the byte, and half a second after its last
// entry: one job has a result, one has failed, one was running and one was waiting.
var firstLog = []struct{ topic, data string }{
	{"good", `{"state":"pending","payload":"cGF5bG9hZAD/"}`},
	{"good", `{"state":"running"}`},
	{"bad", `{"state":"pending"}`},
	{"cut", `{"state":"pending","payload":"YWdhaW4="}`},
	{"never.begun-_~", `{"state":"pending","payload":"MQ=="}`},
	{"good", `{"state":"done","result":"cGF5bG9hZAD/"}`},
	{"bad", `{"state":"running"}`},
	{"bad", `{"state":"failed","error":"no \u003csuch\u003e file"}`},
	{"cut", `{"state":"running"}`},
}

// Jobs goes on with a log of the first version, answers as that did, and adds entries that
// it would read.
func TestALogOfTheFirstVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memory()
		for _, e := range firstLog {
			_, err := log.Append(t.Context(), eventlog.Entry{Topic: e.topic, Data: []byte(e.data)})
			require.NoError(t, err)
		}
		time.Sleep(500 * ms)
		h := (&shortpoll.Jobs{Log: log}).Handler() // a replica: it only answers
		ask := func(id string) string {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/jobs/"+id, nil))
			require.Equal(t, http.StatusOK, rec.Code)
			return rec.Body.String()
		}
		const expires = `"expires":"2000-01-01T01:00:00Z"}`
		answers := map[string]string{
			"good":           `{"id":"good","state":"done","version":"e9-6","result":"cGF5bG9hZAD/",` + expires,
			"bad":            `{"id":"bad","state":"failed","version":"e9-8","error":"no \u003csuch\u003e file",` + expires,
			"cut":            `{"id":"cut","state":"running","version":"e9-9"}`,
			"never.begun-_~": `{"id":"never.begun-_~","state":"pending","version":"e9-5"}`,
		}
		for id, answer := range answers {
			require.Equal(t, answer, ask(id))
		}
		jobs := &shortpoll.Jobs{Log: log, Run: takes(s)}
		require.NoError(t, jobs.Start())
		defer jobs.Close()
		time.Sleep(3 * s)
		page, err := log.After(at(9), eventlog.Query{})
		require.NoError(t, err)
		added := map[string]string{}
		for _, e := range page.Entries {
			added[e.Topic] += string(e.Data)
		}
		require.Equal(t, map[string]string{
			"cut":            `{"state":"done","result":"bmlhZ2E="}`,
			"never.begun-_~": `{"state":"running"}{"state":"done","result":"MQ=="}`,
		}, added)
	})
}

// A client understands what the first version answers, and what a later one adds.
func TestAnswersOfTheFirstVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := `{"id":"good","state":"done","version":"e9-6","result":"cGF5bG9hZAD/","expires":"2000-01-01T01:00:03.500000001Z"}`
		for _, answer := range []string{body, strings.Replace(body, "{", `{"v":2,"progress":{"done":7},`, 1)} {
			require.True(t, json.Valid([]byte(answer)))
			client := &shortpoll.Client{URL: where, HTTP: newWire(0, answers(200, answer)).http()}
			job, err := client.Wait(within(t, time.Minute), shortpoll.Job{ID: "good"})
			require.NoError(t, err)
			require.Equal(t, shortpoll.Job{
				ID: "good", State: shortpoll.Done, Version: at(6), Result: []byte("payload\x00\xff"),
				Expires: time.Date(2000, 1, 1, 1, 0, 3, 500000001, time.UTC),
			}, job)
		}
	})
}
