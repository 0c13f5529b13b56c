package push

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The mailboxes against a plain list: each message is acknowledged, lapsed, dropped by the
// log or expired, and is counted in the last case only, when its client is away.
func TestMailboxesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type message struct {
			client  string
			offset  uint64
			expires time.Time
		}
		m := newMailboxes()
		var list []message
		here, missed := map[string]bool{}, map[string]int64{}
		now := time.Unix(1000, 0)
		var offset uint64
		var expired, counted int64
		client := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "client") }
		without := func(goes func(message) bool) (n int64) {
			kept := list[:0]
			for _, w := range list {
				if goes(w) {
					n++
					continue
				}
				kept = append(kept, w)
			}
			list = kept
			return n
		}
		expire := func(c string) {
			n := without(func(w message) bool { return w.client == c && !now.Before(w.expires) })
			missed[c] += n
			expired += n
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				offset++
				w := message{client(t), offset, now.Add(time.Duration(rapid.IntRange(1, 9).Draw(t, "TTL")) * time.Second)}
				list = append(list, w)
				m.add(w.client, w.offset, w.expires)
			},
			"time passes": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "s")) * time.Second) },
			"acknowledge": func(t *rapid.T) {
				c, upTo := client(t), rapid.Uint64Range(0, offset).Draw(t, "offset")
				without(func(w message) bool { return w.client == c && w.offset <= upTo })
				m.acked(c, upTo)
			},
			"lapse": func(t *rapid.T) {
				c, at := client(t), rapid.Uint64Range(0, offset).Draw(t, "offset")
				without(func(w message) bool { return w.client == c && w.offset == at })
				m.lapsed(c, []uint64{at})
			},
			"the log drops": func(t *rapid.T) {
				upTo := rapid.Uint64Range(0, offset).Draw(t, "offset")
				without(func(w message) bool { return w.offset <= upTo })
				m.dropped(upTo)
			},
			"come": func(t *rapid.T) {
				c := client(t)
				expire(c)
				here[c] = true
				told, found := m.connected(c, now)
				counted += found
				require.Equal(t, missed[c], told, "what %s is told", c)
				missed[c] = 0
			},
			"go": func(t *rapid.T) {
				c := client(t)
				here[c] = false
				m.left(c)
			},
			"count": func(t *rapid.T) {
				for _, c := range []string{"a", "b", "c"} {
					if !here[c] {
						expire(c)
					}
				}
				counted += m.expire(now, func(c string) bool { return here[c] })
				require.Equal(t, expired, counted)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(list), m.log.Len())
				for c, b := range m.of {
					require.True(t, len(b.waiting) > 0 || b.expired > 0, "the mailbox of %s is of no use", c)
					require.Equal(t, len(b.waiting) == 0, b.spot != nil)
				}
			},
		})
	})
}

// A name for each request, and none of them ever comes.
func TestMailboxesOfClientsThatNeverComeAreBounded(t *testing.T) {
	m := newMailboxes()
	m.max = 10
	now := time.Unix(1000, 0)
	nobody := func(string) bool { return false }
	for i := range 1000 {
		m.expire(now, nobody)
		m.add(fmt.Sprint(i), uint64(i+1), now.Add(time.Second))
		now = now.Add(time.Second)
	}
	require.EqualValues(t, 1, m.expire(now, nobody))
	require.Len(t, m.of, 10)
	require.Zero(t, m.log.Len())
	require.Empty(t, m.due)
	told, _ := m.connected("999", now)
	require.EqualValues(t, 1, told)
	told, _ = m.connected("1", now)
	require.Zero(t, told, "forgotten, for those after it")
}
