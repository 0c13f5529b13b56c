package push

import (
	"container/list"
	"iter"
)

// topics are the sessions of each topic, in the order in which they came. To leave takes
// the same time however many others there are: at the end of a server all of them leave.
type topics map[string]*list.List

// join enters a session under each of its topics.
func (t topics) join(c *session) {
	for _, topic := range c.topics {
		of := t[topic]
		if of == nil {
			of = list.New()
			t[topic] = of
		}
		c.spots = append(c.spots, of.PushBack(c))
	}
}

// leave undoes join.
func (t topics) leave(c *session) {
	for i, topic := range c.topics {
		of := t[topic]
		of.Remove(c.spots[i])
		if of.Len() == 0 {
			delete(t, topic)
		}
	}
	c.spots = nil
}

func (t topics) of(topic string) iter.Seq[*session] {
	return func(yield func(*session) bool) {
		of := t[topic]
		if of == nil {
			return
		}
		for e := of.Front(); e != nil; e = e.Next() {
			if !yield(e.Value.(*session)) {
				return
			}
		}
	}
}

// count is the number of sessions of a topic.
func (t topics) count(topic string) int {
	if of := t[topic]; of != nil {
		return of.Len()
	}
	return 0
}
