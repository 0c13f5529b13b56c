package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachPartOfAnEventCountsInTheHash(t *testing.T) {
	n := &Network{}
	hash := func(change func(r *record), note string) uint64 {
		tr := newTrace(n)
		tr.nodes = []*node{{hash: hashString("a")}, {hash: hashString("b")}}
		for i := range 3 {
			r := record{at: 5, kind: Sent, proto: protoTCP, from: 1, to: 2, sport: 7, dport: 8, length: 9, seq: 10, ack: 11}
			text := ""
			if i == 1 {
				change(&r)
				text = note
			}
			tr.add(r, text)
		}
		return tr.hash
	}
	seen := map[uint64]string{hash(func(*record) {}, ""): "no change"}
	for name, change := range map[string]func(r *record){
		"at":             func(r *record) { r.at++ },
		"kind":           func(r *record) { r.kind++ },
		"protocol":       func(r *record) { r.proto++ },
		"flags":          func(r *record) { r.flags++ },
		"from":           func(r *record) { r.from = 0 },
		"to":             func(r *record) { r.to = 0 },
		"other way":      func(r *record) { r.from, r.to = r.to, r.from },
		"source port":    func(r *record) { r.sport++ },
		"target port":    func(r *record) { r.dport++ },
		"length":         func(r *record) { r.length++ },
		"seq":            func(r *record) { r.seq++ },
		"ack":            func(r *record) { r.ack++ },
		"seq for ack":    func(r *record) { r.seq, r.ack = r.ack, r.seq },
		"note":           nil,
		"a later moment": func(r *record) { r.at += 1 << 40 },
	} {
		note := ""
		if change == nil {
			change, note = func(*record) {}, "lost"
		}
		h := hash(change, note)
		require.Emptyf(t, seen[h], "%s", name)
		seen[h] = name
	}
}
