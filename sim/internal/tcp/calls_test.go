package tcp

// Write is a program's write: Append and Push at one instant.
func (c *Conn) Write(now Time, p []byte) int {
	n := c.Append(p)
	c.Push(now)
	return n
}

// Read is a program's read: Take and Push at one instant.
func (c *Conn) Read(now Time, p []byte) int {
	n := c.Take(p)
	c.Push(now)
	return n
}
