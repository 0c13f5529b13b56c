package push

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The queue against a list: whatever is pushed comes out in order, or is counted
// under exactly one heading, and gaps say where.
func TestQueueModel(t *testing.T) {
	for _, policy := range []SlowPolicy{Disconnect, Block, DropOldest, DropNewest, Coalesce} {
		t.Run(policy.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { queueModel(t, policy) })
		})
	}
}

func queueModel(t *rapid.T, policy SlowPolicy) {
	q := queue{policy: policy, maxCount: rapid.IntRange(1, 5).Draw(t, "maxCount"), maxBytes: rapid.IntRange(1, 40).Draw(t, "maxBytes")}
	start := time.Unix(1000, 0)
	now := start
	var offset uint64
	var pushed, popped, refused, skipped int64
	last := uint64(0) // highest offset that came out, as message or within a gap
	pop := func(t *rapid.T) {
		for len(q.items) > 0 {
			it := q.pop()
			switch it.kind {
			case itemGap:
				skipped += it.skipped
			default:
				popped++
			}
			require.Greater(t, it.number, last, "order")
			last = it.number
			if rapid.Bool().Draw(t, "stop") {
				return
			}
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"push": func(t *rapid.T) {
			offset++
			it := item{kind: itemEvent, number: offset, size: rapid.IntRange(1, 50).Draw(t, "size"), key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")}
			if rapid.Bool().Draw(t, "ttl") {
				it.expires = now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second)
			}
			pushed++
			if !q.push(it, now) {
				refused++
				require.NotContains(t, []SlowPolicy{DropOldest, DropNewest}, policy)
			}
		},
		"pop":  pop,
		"wait": func(t *rapid.T) { now = now.Add(time.Second) },
		"": func(t *rapid.T) {
			count, bytes := 0, 0
			for _, it := range q.items {
				if it.message() {
					count++
					bytes += it.size
				}
			}
			require.Equal(t, [2]int{count, bytes}, [2]int{q.count, q.bytes})
			require.LessOrEqual(t, q.count, q.maxCount)
			if q.count > 1 {
				require.LessOrEqual(t, q.bytes, q.maxBytes)
			}
			d := q.dropped
			require.Equal(t, pushed, popped+int64(q.count)+refused+d.oldest+d.newest+d.coalesced+d.expired, "all accounted for")
			waiting := int64(0)
			for _, it := range q.items {
				waiting += it.skipped
			}
			require.Equal(t, d.oldest+d.newest, skipped+waiting, "every drop is told")
			require.Len(t, q.gone, int(d.expired))
		},
	})
}

func TestQueueTellsPublishersOfDroppedNowMessages(t *testing.T) {
	q := queue{policy: DropOldest, maxCount: 1, maxBytes: 100}
	done := make(chan bool, 2)
	now := time.Unix(1, 0)
	require.True(t, q.push(item{kind: itemNow, number: 1, done: done, size: 1}, now))
	require.False(t, q.push(item{kind: itemNow, number: 2, done: done, size: 1}, now), "nothing is dropped for a message that may not wait")
	require.True(t, q.push(item{kind: itemEvent, number: 7, size: 1}, now))
	require.False(t, <-done)
	require.Len(t, q.items, 1)
}

// The dead make room before the policy takes from the living.
func TestQueueExpiresBeforeItOverflows(t *testing.T) {
	for _, policy := range []SlowPolicy{Disconnect, Block, DropOldest, DropNewest, Coalesce} {
		q := queue{policy: policy, maxCount: 2, maxBytes: 100}
		now := time.Unix(1, 0)
		event := func(offset uint64, ttl time.Duration) item {
			return item{kind: itemEvent, number: offset, key: fmt.Sprint(offset), expires: now.Add(ttl)}
		}
		require.True(t, q.push(event(1, time.Hour), now))
		require.True(t, q.push(event(2, time.Second), now))
		require.True(t, q.push(event(3, time.Hour), now.Add(time.Second)), "%v", policy)
		require.Equal(t, drops{expired: 1}, q.dropped, "%v", policy)
		require.Equal(t, []uint64{2}, q.gone)
		require.EqualValues(t, 1, q.pop().number)
	}
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := frame{
			kind:   byte(rapid.IntRange(kindEvent, kindSnapshot).Draw(t, "kind")),
			number: rapid.Uint64().Draw(t, "number"),
			topic:  rapid.String().Draw(t, "topic"),
			data:   rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		}
		if us := rapid.Int64Range(0, 1<<53).Draw(t, "expires"); us > 0 {
			f.expires = time.UnixMicro(us)
		}
		b := f.encode()
		require.LessOrEqual(t, len(b), f.headerBound()+len(f.data))
		got, err := decodeFrame(b)
		require.NoError(t, err)
		require.True(t, f.expires.Equal(got.expires))
		got.expires = f.expires
		require.Equal(t, fmt.Sprintf("%#v", f.data), fmt.Sprintf("%#v", append([]byte{}, got.data...)))
		got.data = f.data
		require.Equal(t, f, got)
	})
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x04newshi"))
	f.Add([]byte("\x03\x00\x00\x00state"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte{1, 1, 0, 0xff, 0xff, 0x03})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := decodeFrame(b)
		if err != nil {
			return
		}
		again, err := decodeFrame(fr.encode())
		require.NoError(t, err)
		require.Equal(t, fr.number, again.number)
		require.Equal(t, string(fr.data), string(again.data))
	})
}
