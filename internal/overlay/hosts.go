package overlay

import "slices"

// hostSet gives goroutines the identity of a host of the simulated network, and has what they ask
// of the operating system answered by it: the network (package net, below Dial and Listen), names,
// interfaces, the computer's name, its clock, and the connections that package net/http keeps.
//
// The identity is a pointer that the runtime keeps for each goroutine. A new goroutine
// has that of the one which starts it, and the function of a timer that of the one which
// made the timer. Without it, everything is as ever.
var hostSet = set{
	name: "hosts",
	files: []file{
		{pkg: "runtime", name: "squallhost.go"},
		{pkg: "time", name: "squallhost.go"},
		{pkg: "os", name: "squallhost.go"},
		{pkg: "syscall", name: "squallread.go"},
		{pkg: "net", name: "squallhost.go"},
		{pkg: "net", name: "squallsocket.go"},
		{pkg: "net/http", name: "squallhost.go"},
	},
	edits: slices.Concat(hostIdentity, hostSockets, hostOptions, hostNames, hostTransports),
}

var hostIdentity = []edit{
	replace("runtime", "g", "*coro", "$0; squallHost unsafe.Pointer"), // not at the beginning, whose layout assembly knows
	after("runtime", "newproc1", "newg.bubble = callergp.bubble", "newg.squallHost = callergp.squallHost"),
	after("runtime", "gdestroy", "gp.bubble = nil", "gp.squallHost = nil"),
	begin("time", "AfterFunc", "f = squallInherit(f)"),
	begin("time", "Now", "if t, ok := squallNow(); ok { return t }"),
	begin("os", "Hostname", "if name, ok := squallHostname(); ok { return name, nil }"),
}

// hostSockets has each method of a descriptor ask the simulated socket, if it stands for one.
var hostSockets = []edit{
	fields("net", "netFD", "squall squallFD"),
	begin("net", "socket", "if fd, is, err := squallOpen(ctx, net, family, sotype, laddr, raddr, ctrlCtxFn); is { return fd, err }"),

	socket("netFD.Close", "return fd.squall.Close()"),
	socket("netFD.shutdown", "return fd.squall.Shutdown(how)"),
	socket("netFD.Read", "return fd.squall.Read(p)"),
	socket("netFD.readFrom", "return fd.squallReadFrom(p)"),
	socket("netFD.readFromInet4", "return fd.squallReadFrom4(p, from)"),
	socket("netFD.readFromInet6", "return fd.squallReadFrom6(p, from)"),
	socket("netFD.readMsg", "return fd.squallReadMsg(p)"),
	socket("netFD.readMsgInet4", "return fd.squallReadMsg4(p, sa)"),
	socket("netFD.readMsgInet6", "return fd.squallReadMsg6(p, sa)"),
	socket("netFD.Write", "return fd.squall.Write(p)"),
	socket("netFD.writeTo", `return fd.squall.Send(p, nil, squallAddrOf(sa), "sendto")`),
	socket("netFD.writeToInet4", `return fd.squall.Send(p, nil, squallAddrOf(sa), "sendto")`),
	socket("netFD.writeToInet6", `return fd.squall.Send(p, nil, squallAddrOf(sa), "sendto")`),
	socket("netFD.writeMsg", `n, err = fd.squall.Send(p, oob, squallAddrOf(sa), "sendmsg"); return n, 0, err`),
	socket("netFD.writeMsgInet4", `n, err = fd.squall.Send(p, oob, squallAddrOf(sa), "sendmsg"); return n, 0, err`),
	socket("netFD.writeMsgInet6", `n, err = fd.squall.Send(p, oob, squallAddrOf(sa), "sendmsg"); return n, 0, err`),
	socket("netFD.writeBuffers", "return fd.squallWriteBuffers(v)"),
	socket("netFD.SetDeadline", "return fd.squall.SetDeadline(t)"),
	socket("netFD.SetReadDeadline", "return fd.squall.SetReadDeadline(t)"),
	socket("netFD.SetWriteDeadline", "return fd.squall.SetWriteDeadline(t)"),
	socket("netFD.accept", "return fd.squallAccept()"),
	socket("netFD.dup", `return nil, squallNone("a descriptor of its own")`),

	// Ways past the methods: the program copies instead.
	begin("net", "spliceFrom", "if squallCopies(c, r) { return 0, nil, false }").on("linux"),
	begin("net", "spliceTo", "if c.squall != nil { return 0, nil, false }").on("linux"),
	begin("net", "sendFile", "if c.squall != nil { return 0, nil, false }"),
	begin("net", "rawConn.Control", "if c.ok() && c.fd.squall != nil { return c.squallRaw(f) }"),
	begin("net", "rawConn.Read", "if c.ok() && c.fd.squall != nil { return c.squallRead(f) }"),
	begin("net", "rawConn.Write", `if c.ok() && c.fd.squall != nil { return squallNone("a raw connection to write to") }`),
	begin("net", "rawConn.PollFD", "if c.ok() && c.fd.squall != nil { return nil }"),
	begin("syscall", "Read", "if fd >= squallFirst { return squallRead(fd, p, 0) }"),
	begin("syscall", "Recvfrom", "if fd >= squallFirst { n, err = squallRead(fd, p, flags); return n, nil, err }"),
}

func socket(method, text string) edit {
	return begin("net", method, "if fd.squall != nil { "+text+" }")
}

// hostOptions are those of sockets. What the network does not have it refuses.
var hostOptions = []edit{
	option("setNoDelay", "boolint(noDelay)"),
	option("setReadBuffer", "bytes"),
	option("setWriteBuffer", "bytes"),
	option("setKeepAlive", "boolint(keepalive)"),
	option("setKeepAliveIdle", "int(d)"),
	option("setKeepAliveInterval", "int(d)"),
	option("setKeepAliveCount", "n"),
	option("setLinger", "sec"),
	option("joinIPv4Group", "0"),
	option("joinIPv6Group", "0"),
	option("setIPv4MulticastInterface", "0"),
	option("setIPv6MulticastInterface", "0"),
	option("setIPv4MulticastLoopback", "0"),
	option("setIPv6MulticastLoopback", "0"),
	begin("net", "supportsMultipathTCP", "if squallHost() != nil { return false }").on("linux"), // else the first socket of a process asks more of its host than the others
	begin("net", "isUsingMultipathTCP", "if fd.squall != nil { return false }").on("linux"),
}

func option(function, value string) edit {
	return begin("net", function, `if fd.squall != nil { return fd.squall.SetOption("`+function+`", `+value+`) }`)
}

var hostNames = []edit{
	begin("net", "supportsIPv4", "if is, _ := squallFamilies(); is { return true }"),
	begin("net", "supportsIPv6", "if is, six := squallFamilies(); is { return six }"),
	begin("net", "supportsIPv4map", "if is, six := squallFamilies(); is { return six }"),
	begin("net", "interfaceTable", "if all, is := squallInterfaces(ifindex); is { return all, nil }"),
	begin("net", "interfaceAddrTable", "if all, is := squallInterfaceAddrs(ifi); is { return all, nil }"),
	begin("net", "interfaceMulticastAddrTable", "if is, _ := squallFamilies(); is { return nil, nil }"),

	begin("net", "Resolver.lookupIPAddr", "if all, is, err := r.squallLookup(ctx, network, host); is { return all, err }"),
	begin("net", "Resolver.LookupHost", "if all, is, err := r.squallLookupHost(ctx, host); is { return all, err }"),
	begin("net", "Resolver.LookupCNAME", "if s := r.squallOfHost(); s != nil { return s.LookupCNAME(ctx, host) }"),
	begin("net", "Resolver.LookupSRV", "if s := r.squallOfHost(); s != nil { return s.LookupSRV(ctx, service, proto, name) }"),
	begin("net", "Resolver.LookupMX", "if s := r.squallOfHost(); s != nil { return s.LookupMX(ctx, name) }"),
	begin("net", "Resolver.LookupNS", "if s := r.squallOfHost(); s != nil { return s.LookupNS(ctx, name) }"),
	begin("net", "Resolver.LookupTXT", "if s := r.squallOfHost(); s != nil { return s.LookupTXT(ctx, name) }"),
	begin("net", "Resolver.LookupAddr", "if s := r.squallOfHost(); s != nil { return s.LookupAddr(ctx, addr) }"),
}

// hostTransports give each host connections of its own of a transport that several hosts use,
// as they do http.DefaultTransport: they are processes of their own.
var hostTransports = []edit{
	fields("net/http", "Transport", "squallOwner uint64"),
	begin("net/http", "Transport.RoundTrip", "if other := t.squallOfHost(); other != nil { return other.roundTrip(req) }"),
	begin("net/http", "Transport.CloseIdleConnections", "if other := t.squallOfHost(); other != nil { t = other }"),
}
