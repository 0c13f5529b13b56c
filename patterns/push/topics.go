package push

import (
	"container/list"
	"iter"
	"slices"
)

// topics are the sessions of each topic, in the order in which they came, and those with
// filters. To leave takes the same time however many others there are: at the end of a
// server all of them leave.
type topics struct {
	named map[string]*list.List
	wild  list.List // of the sessions with filters
}

func newTopics() topics { return topics{named: make(map[string]*list.List)} }

// join enters a session under each of its topics.
func (t *topics) join(c *session) {
	for _, topic := range c.topics {
		of := t.named[topic]
		if of == nil {
			of = list.New()
			t.named[topic] = of
		}
		c.spots = append(c.spots, of.PushBack(c))
	}
	if len(c.filters) > 0 {
		c.spots = append(c.spots, t.wild.PushBack(c))
	}
}

// leave undoes join.
func (t *topics) leave(c *session) {
	for i, topic := range c.topics {
		of := t.named[topic]
		of.Remove(c.spots[i])
		if of.Len() == 0 {
			delete(t.named, topic)
		}
	}
	if len(c.filters) > 0 {
		t.wild.Remove(c.spots[len(c.topics)])
	}
	c.spots = nil
}

// of returns the sessions that receive the topic, each once.
func (t *topics) of(topic string) iter.Seq[*session] {
	return func(yield func(*session) bool) {
		if of := t.named[topic]; of != nil {
			for e := of.Front(); e != nil; e = e.Next() {
				if !yield(e.Value.(*session)) {
					return
				}
			}
		}
		for e := t.wild.Front(); e != nil; e = e.Next() {
			c := e.Value.(*session)
			if c.selects(topic) && !slices.Contains(c.topics, topic) && !yield(c) {
				return
			}
		}
	}
}
