package overlay

import "slices"

// hostSet gives goroutines the identity of a host of the simulated network. That host then answers what they ask of the operating system:
// the network (package net, below Dial and Listen), names, interfaces, the computer's name and its clock. It also has its own connections
// of package net/http.
//
// The identity is a pointer that the runtime keeps for each goroutine. A new goroutine inherits it from the goroutine that starts it, and
// the function of a timer inherits it from the goroutine that made the timer. Nothing changes for a goroutine without an identity.
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
	replace("runtime", "g", "*coro", "$0; squallHost unsafe.Pointer"), // not at the beginning: assembly code relies on the layout there
	after("runtime", "newproc1", "newg.bubble = callergp.bubble", "newg.squallHost = callergp.squallHost"),
	after("runtime", "gdestroy", "gp.bubble = nil", "gp.squallHost = nil"),
	begin("time", "AfterFunc", "f = squallInherit(f)"),
	begin("time", "Now", "if t, ok := squallNow(); ok { return t }"),
	begin("os", "Hostname", "if name, ok := squallHostname(); ok { return name, nil }"),
}

// hostSockets makes each method of a descriptor call the simulated socket, if the descriptor stands for one.
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

	// These bypass the methods: the program must copy instead.
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

// hostOptions are the edits for options of sockets. The simulated socket refuses options that the network does not have.
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
	begin("net", "supportsMultipathTCP", "if squallHost() != nil { return false }").on("linux"), // otherwise the first socket of a process would ask more of its host than the others
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

// hostTransports give each host its own connections in a transport that several hosts use, such as http.DefaultTransport, because hosts are
// separate processes.
var hostTransports = []edit{
	fields("net/http", "Transport", "squallOwner uint64"),
	begin("net/http", "Transport.RoundTrip", "if other := t.squallOfHost(); other != nil { return other.roundTrip(req) }"),
	begin("net/http", "Transport.CloseIdleConnections", "if other := t.squallOfHost(); other != nil { t = other }"),
}
