package sim

import "time"

// What the documentation of public clouds says of their boxes, as of November 2025. Where it says nothing, Linux's value
// stands. That is so for what is asked of a segment's numbers: none of them says whether its boxes compare these, nor what becomes of one that does not
// fit; AWS says of its Network Firewall alone that both directions have to pass it, and that what follows a break is dropped (developer guide, "Avoiding
// asymmetric routing" and "Stream exception policy options"). Liberal is for a box that does not compare them. They are values: change a copy.
var (
	// AWSNetworkLB is a Network Load Balancer: 350 s for TCP, 120 s for UDP, and RST for what comes later ("Introducing NLB TCP
	// configurable idle timeout", AWS Networking blog, September 2024; Elastic Load Balancing's user guide,
	// "Update the TCP idle timeout").
	AWSNetworkLB = Tracking{Established: 350 * time.Second, UDP: 120 * time.Second, Stray: StrayReset}

	// AWSNATGateway is a NAT gateway: 350 s, and RST for what hosts behind it send later (Amazon VPC user guide, "Troubleshoot
	// NAT gateways" and "Compare NAT gateways and NAT instances"). Its ports are 55,000 for each remote address and port.
	AWSNATGateway = NATConfig{Tracking: Tracking{Established: 350 * time.Second, Stray: StrayReset}, Ports: 55_000}

	// AWSNetworkFirewall is AWS's stateful firewall: 350 s, then data is dropped (AWS Network Firewall API reference, FlowTimeouts).
	AWSNetworkFirewall = Tracking{Established: 350 * time.Second, Stray: StrayDropped}

	// AzureLB is a Standard Load Balancer of Azure: 4 min, then silence ("Load Balancer TCP Reset and Idle Timeout", Azure
	// documentation, July 2024). With its option "TCP reset" both ends get RST when the time is over: set Tell.
	AzureLB = Tracking{Established: 4 * time.Minute, Stray: StrayDropped}

	// GoogleFirewall is that of a Google Cloud VPC network: 10 min, then nothing comes in until the instance itself
	// sends ("Troubleshooting VMs", Compute Engine documentation, August 2025).
	GoogleFirewall = Tracking{Established: 10 * time.Minute, Opening: 10 * time.Minute, Closing: 10 * time.Minute, UDP: 10 * time.Minute}

	// GoogleNAT is a Cloud NAT: 20 min for established connections of TCP, 30 s for those that open or close, and for UDP 30 s
	// (Compute Engine API, RouterNat).
	GoogleNAT = NATConfig{Tracking: Tracking{Established: 20 * time.Minute, Opening: 30 * time.Second, Closing: 30 * time.Second,
		UDP: 30 * time.Second, Stray: StrayDropped}}
)
