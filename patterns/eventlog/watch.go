package eventlog

import (
	"container/list"
	"sync"
)

// Watch is a registered interest in new entries. See [Log.Watch].
type Watch struct {
	// C receives a token after entries of the watched topics were appended: one
	// for however many came since the last was taken. It is closed when the log
	// is; the next read then returns ErrClosed.
	C <-chan struct{}

	c     chan struct{}
	hub   *hub
	spots []spot
}

// spot is where a watch stands in one topic's list.
type spot struct {
	topic string
	all   bool
	elem  *list.Element
}

// Stop ends the watch. It may be called more than once.
func (w *Watch) Stop() { w.hub.remove(w) }

// hub wakes watches by topic. The lists are in the order of registration, so
// that wake-ups have an order too. Nothing waits while it holds the mutex.
type hub struct {
	mu      sync.Mutex
	closed  bool
	all     list.List
	byTopic map[string]*list.List
	watches int
	wakes   uint64
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
	h.watches++
	if len(topics) == 0 {
		w.spots = []spot{{all: true, elem: h.all.PushBack(w)}}
		return w
	}
	if h.byTopic == nil {
		h.byTopic = make(map[string]*list.List)
	}
	for _, topic := range topics {
		watchers := h.byTopic[topic]
		if watchers == nil {
			watchers = list.New()
			h.byTopic[topic] = watchers
		}
		w.spots = append(w.spots, spot{topic: topic, elem: watchers.PushBack(w)})
	}
	return w
}

func (h *hub) remove(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(w.spots) == 0 {
		return
	}
	h.watches--
	for _, s := range w.spots {
		if s.all {
			h.all.Remove(s.elem)
			continue
		}
		watchers := h.byTopic[s.topic]
		watchers.Remove(s.elem)
		if watchers.Len() == 0 {
			delete(h.byTopic, s.topic)
		}
	}
	w.spots = nil
}

// notify wakes those who watch one of the entries' topics.
func (h *hub) notify(entries []Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.watches == 0 || len(entries) == 0 {
		return
	}
	h.wake(&h.all)
	for i := range entries {
		if i > 0 && entries[i].Topic == entries[i-1].Topic {
			continue
		}
		if watchers := h.byTopic[entries[i].Topic]; watchers != nil {
			h.wake(watchers)
		}
	}
}

func (h *hub) wake(watchers *list.List) {
	for e := watchers.Front(); e != nil; e = e.Next() {
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
	if h.closed {
		return
	}
	h.closed = true
	closed := make(map[*Watch]bool)
	closeAll := func(watchers *list.List) {
		for e := watchers.Front(); e != nil; e = e.Next() {
			if w := e.Value.(*Watch); !closed[w] {
				closed[w] = true
				close(w.c)
			}
		}
	}
	closeAll(&h.all)
	for _, watchers := range h.byTopic {
		closeAll(watchers)
	}
	h.byTopic, h.watches = nil, 0
}

func (h *hub) counts() (watches int, wakes uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watches, h.wakes
}
