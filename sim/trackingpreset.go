package sim

import "time"

// These variables follow the documentation of public clouds as of November 2025. Where it is silent, Linux's
// value stands. That includes the checks of a segment's numbers: no cloud says whether its middleboxes
// compare them, or what happens to a segment that does not fit. AWS says, of its Network Firewall alone, that
// both directions must pass it, and that it drops what follows a break (developer guide, "Avoiding asymmetric
// routing" and "Stream exception policy options"). Set Liberal for a middlebox that does not compare them.
// The variables are plain values: change a copy.
var (
	// AWSNetworkLB is a Network Load Balancer: 350 s for TCP, 120 s for UDP, and RST for later segments
	// ("Introducing NLB TCP configurable idle timeout", AWS Networking blog, September 2024; Elastic Load
	// Balancing's user guide, "Update the TCP idle timeout").
	AWSNetworkLB = Tracking{Established: 350 * time.Second, UDP: 120 * time.Second, Stray: StrayReset}

	// AWSNATGateway is a NAT gateway: 350 s, and RST for what hosts behind it send later (Amazon VPC user
	// guide, "Troubleshoot NAT gateways" and "Compare NAT gateways and NAT instances"). It has 55,000 ports
	// for each remote address and port.
	AWSNATGateway = NATConfig{Tracking: Tracking{Established: 350 * time.Second, Stray: StrayReset}, Ports: 55_000}

	// AWSNetworkFirewall is AWS's stateful firewall: 350 s, then it drops data (AWS Network Firewall API
	// reference, FlowTimeouts).
	AWSNetworkFirewall = Tracking{Established: 350 * time.Second, Stray: StrayDropped}

	// AzureLB is a Standard Load Balancer of Azure: 4 min, then silence ("Load Balancer TCP Reset and Idle
	// Timeout", Azure documentation, July 2024). With its option "TCP reset" both ends get RST when the time
	// is over: set Tell.
	AzureLB = Tracking{Established: 4 * time.Minute, Stray: StrayDropped}

	// GoogleFirewall is the firewall of a Google Cloud VPC network: 10 min, then nothing gets in until the
	// instance itself sends ("Troubleshooting VMs", Compute Engine documentation, August 2025).
	GoogleFirewall = Tracking{Established: 10 * time.Minute, Opening: 10 * time.Minute, Closing: 10 * time.Minute, UDP: 10 * time.Minute}

	// GoogleNAT is a Cloud NAT: 20 min for established TCP connections, 30 s for TCP connections that open or
	// close, and 30 s for UDP (Compute Engine API, RouterNat).
	GoogleNAT = NATConfig{Tracking: Tracking{Established: 20 * time.Minute, Opening: 30 * time.Second, Closing: 30 * time.Second,
		UDP: 30 * time.Second, Stray: StrayDropped}}
)
