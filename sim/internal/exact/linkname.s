// Functions of the standard library that the overlay adds have no body here; the compiler accepts
// that only in a package with a file of assembly.
