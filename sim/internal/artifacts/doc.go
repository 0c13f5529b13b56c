// Package artifacts writes what a run of a test leaves behind for a person to look at: a report as one page of HTML, one
// pcapng file for each host, and the trace as lines of JSON. It knows nothing of a network: package sim hands it a [Run].
//
// It needs nothing but the standard library, as all of package sim does, so that the modules that use squall take on no
// dependency.
package artifacts
