package mux

// SkipTo has the next own stream get a number, as if all before it had been used.
func (s *Session) SkipTo(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID = id
}

// Sessions are those that the client has.
func (c *Client) Sessions() []*Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}
