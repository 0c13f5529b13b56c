// Package reporttest looks at what a failed test leaves (SQUALL_ARTIFACTS) with other people's eyes: the captures with tshark and
// gopacket, the page in Chromium. It is a module of its own, run by hand: go test . in this folder, with Chromium and tshark installed
// (apt-get install chromium tshark). REPORTTEST_SHOTS=folder keeps the screenshots.
package reporttest
