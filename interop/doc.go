// Package interop is a module of its own, so that the libraries that it runs are no
// concern of those who use squall. Its tests put real clients and servers of others on
// the simulated network: as partners of this project's own patterns, to see that TCP and
// UDP are what libraries expect, and through the contract of delivery, to see that its
// stories find what is known to be lost. The README has what was found.
package interop
