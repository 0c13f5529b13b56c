package push

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func listener(topics ...string) *session { return &session{topics: topics} }

func TestTopicsKeepTheOrderOfThoseWhoStay(t *testing.T) {
	all := newTopics()
	a, b, c := listener("x", "y"), listener("x"), listener("x")
	for _, s := range []*session{a, b, c} {
		all.join(s)
	}
	require.Equal(t, []*session{a, b, c}, slices.Collect(all.of("x")))

	all.leave(b)
	require.Equal(t, []*session{a, c}, slices.Collect(all.of("x")))
	all.join(b)
	require.Equal(t, []*session{a, c, b}, slices.Collect(all.of("x")), "who comes back stands at the end")

	all.leave(a)
	require.Empty(t, slices.Collect(all.of("y")))
	all.leave(b)
	all.leave(c)
	require.Empty(t, all.named, "a topic that nobody listens to is forgotten, or a mailbox per client stays for ever")
}

// A session leaves in the same time however many others its topic has. The reference looks
// for it in a slice.
func BenchmarkLeave(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		sessions := make([]*session, n)
		for i := range sessions {
			sessions[i] = listener("news", Mailbox(strconv.Itoa(i)))
		}
		report := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/session")
		}
		b.Run(fmt.Sprintf("reference/%d", n), func(b *testing.B) {
			for b.Loop() {
				news := slices.Clone(sessions)
				for _, s := range slices.Backward(sessions) {
					news = slices.DeleteFunc(news, func(o *session) bool { return o == s })
				}
			}
			report(b)
		})
		b.Run(fmt.Sprintf("topics/%d", n), func(b *testing.B) {
			for b.Loop() {
				all := newTopics()
				for _, s := range sessions {
					all.join(s)
				}
				for _, s := range slices.Backward(sessions) {
					all.leave(s)
				}
			}
			report(b)
		})
	}
}
