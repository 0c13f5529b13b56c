// Package reporttest checks the output of a failed test (SQUALL_ARTIFACTS) with other programs: the
// captures with tshark and gopacket, the page in Chromium. It is a module of its own, run by hand:
// go test . in this folder, with Chromium and tshark installed (apt-get install chromium tshark).
// REPORTTEST_SHOTS=folder keeps the screenshots.
package reporttest
