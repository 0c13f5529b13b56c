package reqresp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/internal/killtest"
	"github.com/squall-sim/squall/patterns/reqresp"
)

const victim = "SQUALL_REQRESP_VICTIM"

// A process with many writers is killed at work: what it had acknowledged is there, each effect with its answer or neither.
func TestAcknowledgedEffectsSurviveTheirProcess(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		commitUntilKilled(t, path)
		return
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "answers")
		acknowledged := killtest.After(t, 200+70*round, victim, path)
		d, err := reqresp.OpenDisk(path, reqresp.StoreOptions{})
		require.NoError(t, err)
		for _, key := range acknowledged {
			record, err := d.Find(context.Background(), key, time.Now())
			require.NoError(t, err)
			require.NotNil(t, record, "%s was acknowledged and is lost", key)
			require.Equal(t, "done "+key, string(record.Answer.Body))
		}
		requireEffectsWithAnswers(t, d, len(acknowledged))
		require.NoError(t, d.Close())
	}
}

// requireEffectsWithAnswers looks whether each writer's count of effects is that of its answers, and all are at least so many.
func requireEffectsWithAnswers(t *testing.T, d *reqresp.Disk, least int) {
	t.Helper()
	effects := 0
	_, err := d.Commit(context.Background(), "", reqresp.Record{}, time.Now(), func(tx reqresp.Tx) (*reqresp.Response, error) {
		for p := range killedWriters {
			count, _ := strconv.Atoi(string(tx.Get(fmt.Sprint(p))))
			effects += count
			for i := range count + 1 {
				record, err := d.Find(context.Background(), fmt.Sprintf("%d-%d", p, i), time.Now())
				if err != nil || (record != nil) != (i < count) {
					return nil, fmt.Errorf("writer %d has %d effects; of answer %d: %v, %v", p, count, i, record, err)
				}
			}
		}
		return nil, nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, effects, least)
}

const killedWriters = 16

func commitUntilKilled(t *testing.T, path string) {
	d, err := reqresp.OpenDisk(path, reqresp.StoreOptions{})
	require.NoError(t, err)
	for p := range killedWriters {
		go func() {
			for i := 0; ; i++ {
				key, now := fmt.Sprintf("%d-%d", p, i), time.Now()
				_, err := d.Commit(context.Background(), key, reqresp.Record{Until: now.Add(time.Hour)}, now, func(tx reqresp.Tx) (*reqresp.Response, error) {
					tx.Put(fmt.Sprint(p), []byte(fmt.Sprint(i+1)))
					return &reqresp.Response{Body: []byte("done " + key)}, nil
				})
				if err != nil {
					panic(err)
				}
				os.Stdout.WriteString(key + "\n")
			}
		}()
	}
	select {}
}
