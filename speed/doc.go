// Package speed guards how fast squall is. Its test compares work on the simulated network with the same work on what
// one would use without it, and the ratios with those of a committed baseline:
//
//	SQUALL_SPEED=1 go test -v .                         # compare, in about a minute
//	SQUALL_SPEED=1 go test -v -run Speed/bulk .         # some rows
//	SQUALL_SPEED=1 go test -run TestSpeed -update .     # write the baseline and the README's table
//
// It is a module of its own, so that the reference for datagrams, pion's vnet, is no concern of the root's go.mod.
package speed
