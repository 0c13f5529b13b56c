package eventlog

import (
	"container/list"
	"sync"
)

// Watch is a registered interest in new entries. See [Log].
type Watch struct {
	// C receives a token after entries of the watched topics were appended: one
	// token for any number of entries since the last was received. It is closed
	// when the log is closed; the next read then returns [ErrClosed].
	C <-chan struct{}

	c     chan struct{}
	hub   *hub
	spots []spot
}

// spot is where a watch stands in the list of one topic.
type spot struct {
	watchers *watchers
	elem     *list.Element
}

// Stop ends the watch. It may be called more than once.
func (w *Watch) Stop() { w.hub.remove(w) }

// hub wakes watches by topic. Nothing waits while it holds the mutex.
type hub struct {
	mu       sync.Mutex
	closed   bool
	all      watchers
	byTopic  map[string]*watchers
	watches  map[*Watch]struct{}
	wakes    int64
	notified uint64 // calls of notify
}

// watchers are those of one topic, in the order of their registration, so that
// wake-ups have an order too.
type watchers struct {
	topic    string
	list     list.List
	notified uint64 // the call of notify that last came by
}

func (h *hub) watch(topics []string) *Watch {
	c := make(chan struct{}, 1)
	w := &Watch{C: c, c: c, hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(c)
		return w
	}
	if h.watches == nil {
		h.watches = make(map[*Watch]struct{})
		h.byTopic = make(map[string]*watchers)
	}
	h.watches[w] = struct{}{}
	if len(topics) == 0 {
		w.join(&h.all)
		return w
	}
	for _, topic := range topics {
		of := h.byTopic[topic]
		if of == nil {
			of = &watchers{topic: topic}
			h.byTopic[topic] = of
		}
		w.join(of)
	}
	return w
}

func (w *Watch) join(of *watchers) {
	w.spots = append(w.spots, spot{of, of.list.PushBack(w)})
}

func (h *hub) remove(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches, w)
	for _, s := range w.spots {
		s.watchers.list.Remove(s.elem)
		if s.watchers.list.Len() == 0 && s.watchers != &h.all {
			delete(h.byTopic, s.watchers.topic)
		}
	}
	w.spots = nil
}

// notify wakes those who watch one of the entries' topics. It visits each topic
// once, however many entries of it there are.
func (h *hub) notify(entries []Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.watches) == 0 || len(entries) == 0 {
		return
	}
	h.notified++
	h.wake(&h.all)
	for i := range entries {
		if of := h.byTopic[entries[i].Topic]; of != nil && of.notified != h.notified {
			of.notified = h.notified
			h.wake(of)
		}
	}
}

// wakeAll wakes every watch: not for new entries, but to make readers look.
func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake(&h.all)
	for _, of := range h.byTopic {
		h.wake(of)
	}
}

func (h *hub) wake(of *watchers) {
	for e := of.list.Front(); e != nil; e = e.Next() {
		select {
		case e.Value.(*Watch).c <- struct{}{}:
			h.wakes++
		default: // a token is waiting already
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := range h.watches {
		close(w.c)
	}
	h.watches, h.byTopic, h.all = nil, nil, watchers{}
}

func (h *hub) counts() (watches, wakes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.watches)), h.wakes
}
