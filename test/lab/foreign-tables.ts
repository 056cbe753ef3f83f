/**
 * Rulesets as other programs leave them on a machine, written after what these print on one: Docker 28 and ufw 0.36 by
 * way of iptables-nft 1.8, Docker 29, firewalld 2.1, libvirt and kube-proxy by nftables, and somebody's own.
 */

/** dockerd's, with one published port. */
export const DOCKER = `
table ip nat {
	chain DOCKER {
		iifname "docker0" counter packets 0 bytes 0 return
		iifname != "docker0" tcp dport 8080 counter packets 0 bytes 0 dnat to 172.17.0.2:80
	}
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter packets 0 bytes 0 jump DOCKER
	}
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		ip daddr != 127.0.0.0/8 fib daddr type local counter packets 0 bytes 0 jump DOCKER
	}
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		oifname != "docker0" ip saddr 172.17.0.0/16 counter packets 0 bytes 0 masquerade
		ip saddr 172.17.0.2 ip daddr 172.17.0.2 tcp dport 80 counter packets 0 bytes 0 masquerade
	}
}
table ip filter {
	chain DOCKER {
		iifname != "docker0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 counter packets 0 bytes 0 accept
		iifname != "docker0" oifname "docker0" counter packets 0 bytes 0 drop
	}
	chain DOCKER-BRIDGE {
		oifname "docker0" counter packets 0 bytes 0 jump DOCKER
	}
	chain DOCKER-CT {
		oifname "docker0" ct state related,established counter packets 0 bytes 0 accept
	}
	chain DOCKER-ISOLATION-STAGE-1 {
		iifname "docker0" oifname != "docker0" counter packets 0 bytes 0 jump DOCKER-ISOLATION-STAGE-2
	}
	chain DOCKER-ISOLATION-STAGE-2 {
		oifname "docker0" counter packets 0 bytes 0 drop
	}
	chain DOCKER-FORWARD {
		counter packets 0 bytes 0 jump DOCKER-CT
		counter packets 0 bytes 0 jump DOCKER-ISOLATION-STAGE-1
		counter packets 0 bytes 0 jump DOCKER-BRIDGE
		iifname "docker0" counter packets 0 bytes 0 accept
	}
	chain DOCKER-USER {
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter packets 0 bytes 0 jump DOCKER-USER
		counter packets 0 bytes 0 jump DOCKER-FORWARD
	}
}
table ip raw {
	chain PREROUTING {
		type filter hook prerouting priority raw; policy accept;
		iifname != "docker0" ip daddr 172.17.0.2 counter packets 0 bytes 0 drop
	}
}
table ip6 nat {
	chain DOCKER {
	}
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter packets 0 bytes 0 jump DOCKER
	}
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		ip6 daddr != ::1 fib daddr type local counter packets 0 bytes 0 jump DOCKER
	}
}
`

/** firewalld's, zone public on eth0, with a rich rule, an ipset and masquerading. */
export const FIREWALLD = `
table inet firewalld {
	set blocked {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.200-192.0.2.210, 198.18.7.0/24 }
	}
	chain mangle_PREROUTING {
		type filter hook prerouting priority mangle + 10; policy accept;
		jump mangle_PREROUTING_ZONES
	}
	chain mangle_PREROUTING_POLICIES_pre {
		jump mangle_PRE_policy_allow-host-ipv6
	}
	chain mangle_PREROUTING_ZONES {
		iifname "eth0" goto mangle_PRE_public
		goto mangle_PRE_public
	}
	chain mangle_PRE_public {
		return
	}
	chain mangle_PRE_policy_allow-host-ipv6 {
		return
	}
	chain nat_PREROUTING {
		type nat hook prerouting priority dstnat + 10; policy accept;
		jump nat_PREROUTING_ZONES
	}
	chain nat_PREROUTING_ZONES {
		iifname "eth0" goto nat_PRE_public
		goto nat_PRE_public
	}
	chain nat_PRE_public {
		meta nfproto ipv4 tcp dport 2222 dnat ip to 192.0.2.2:22
	}
	chain nat_POSTROUTING {
		type nat hook postrouting priority srcnat + 10; policy accept;
		meta nfproto ipv4 oifname "virbr9" masquerade
	}
	chain nat_OUTPUT {
		type nat hook output priority -90; policy accept;
	}
	chain filter_PREROUTING {
		type filter hook prerouting priority filter + 10; policy accept;
		icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
		meta nfproto ipv6 fib saddr . mark . iif oif missing drop
	}
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24, 2002:7f00::/24 } reject with icmpv6 addr-unreachable
		ip saddr @blocked drop
		reject with icmpx admin-prohibited
	}
	chain filter_OUTPUT {
		type filter hook output priority filter + 10; policy accept;
		ct state { established, related } accept
		oifname "lo" accept
		ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24, 2002:7f00::/24 } reject with icmpv6 addr-unreachable
	}
	chain filter_INPUT_ZONES {
		iifname "eth0" goto filter_IN_public
		goto filter_IN_public
	}
	chain filter_IN_public {
		jump filter_IN_public_allow
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain filter_IN_public_allow {
		tcp dport 22 accept
		ip6 daddr fe80::/64 udp dport 546 accept
		ip saddr 192.0.2.0/24 tcp dport 8443 log prefix "public " limit rate 3/minute burst 5 packets accept
	}
}
`

/** Without these IPv6 finds no neighbour. */
const NEIGHBOURS = ['nd-neighbor-solicit', 'nd-neighbor-advert']
  .map(
    (type) =>
      `\t\tmeta l4proto ipv6-icmp icmpv6 type ${type} ip6 hoplimit 255 counter packets 0 bytes 0 accept\n`,
  )
  .join('')

/** ufw's, by iptables-nft: hundreds of lines on a machine, here one chain of each kind, in both families. */
export const UFW = (['ip', 'ip6'] as const)
  .map((family) => {
    const prefix = family === 'ip' ? 'ufw' : 'ufw6'
    const icmp = family === 'ip' ? 'meta l4proto icmp icmp type' : 'meta l4proto ipv6-icmp icmpv6 type'
    return `
table ${family} filter {
	chain ${prefix}-before-logging-input {
	}
	chain ${prefix}-logging-deny {
		ct state invalid limit rate 3/minute burst 10 packets counter packets 0 bytes 0 return
		limit rate 3/minute burst 10 packets counter packets 0 bytes 0 log prefix "[UFW BLOCK] "
	}
	chain ${prefix}-before-input {
		iifname "lo" counter packets 0 bytes 0 accept
		ct state related,established counter packets 0 bytes 0 accept
		ct state invalid counter packets 0 bytes 0 jump ${prefix}-logging-deny
		ct state invalid counter packets 0 bytes 0 drop
		${icmp} echo-request counter packets 0 bytes 0 accept
${family === 'ip' ? '' : NEIGHBOURS}		counter packets 0 bytes 0 jump ${prefix}-user-input
	}
	chain ${prefix}-before-output {
		oifname "lo" counter packets 0 bytes 0 accept
		ct state related,established counter packets 0 bytes 0 accept
		counter packets 0 bytes 0 jump ${prefix}-user-output
	}
	chain ${prefix}-user-input {
		tcp dport 22 counter packets 0 bytes 0 accept
		udp dport 5353 counter packets 0 bytes 0 accept
	}
	chain ${prefix}-user-output {
	}
	chain ${prefix}-track-output {
		meta l4proto tcp ct state new counter packets 0 bytes 0 accept
		meta l4proto udp ct state new counter packets 0 bytes 0 accept
	}
	chain INPUT {
		type filter hook input priority filter; policy drop;
		counter packets 0 bytes 0 jump ${prefix}-before-logging-input
		counter packets 0 bytes 0 jump ${prefix}-before-input
	}
	chain OUTPUT {
		type filter hook output priority filter; policy accept;
		counter packets 0 bytes 0 jump ${prefix}-before-output
		counter packets 0 bytes 0 jump ${prefix}-track-output
	}
}
`
  })
  .join('')

/** Somebody's own, with what nft alone has: maps, meters, verdict maps, a flowtable's table, quotas, secmarks left out. */
export const HAND_WRITTEN = `
table inet filter {
	map ports {
		type inet_service : verdict
		elements = { 22 : accept, 2200 : drop }
	}
	set callers {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1m
	}
	quota monthly {
		over 25 mbytes
	}
	limit slow {
		rate 10/second
	}
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport vmap @ports
		ip saddr 192.0.2.66 tcp dport 9 add @callers { ip saddr limit rate 2/second } accept
		udp dport 9 quota name "monthly" drop
		icmp type echo-request limit name "slow" accept
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
	chain output {
		type filter hook output priority filter; policy accept;
	}
}
table bridge guests {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ether type arp accept
	}
}
table netdev ingress {
	chain eth0in {
		type filter hook ingress device "eth0" priority filter; policy accept;
		ip saddr 192.0.2.77 drop
	}
}
table arp guard {
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
`

/** dockerd's since 29 with `"firewall-backend": "nftables"`: a table of its own for each family, one published port. */
const DOCKER_NFTABLES = `
table ip docker-bridges {
	map filter-forward-in-jumps {
		type ifname : verdict
		elements = { "docker1" : jump filter-forward-in__docker1 }
	}
	map nat-postrouting-out-jumps {
		type ifname : verdict
		elements = { "docker1" : jump nat-postrouting-out__docker1 }
	}
	chain filter-FORWARD {
		type filter hook forward priority filter; policy accept;
		oifname vmap @filter-forward-in-jumps
	}
	chain filter-forward-in__docker1 {
		ct state established,related counter packets 0 bytes 0 accept
		iifname "docker1" counter packets 0 bytes 0 accept comment "ICC"
		ip daddr 172.18.0.2 tcp dport 80 counter packets 0 bytes 0 accept
		counter packets 0 bytes 0 drop comment "UNPUBLISHED PORT DROP"
	}
	chain nat-OUTPUT {
		type nat hook output priority -100; policy accept;
		ip daddr != 127.0.0.0/8 fib daddr type local counter packets 0 bytes 0 jump nat-prerouting-and-output
	}
	chain nat-POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		oifname vmap @nat-postrouting-out-jumps
	}
	chain nat-PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter packets 0 bytes 0 jump nat-prerouting-and-output
	}
	chain nat-postrouting-out__docker1 {
		oifname != "docker1" ip saddr 172.18.0.0/16 counter packets 0 bytes 0 masquerade comment "MASQUERADE"
	}
	chain nat-prerouting-and-output {
		iifname != "docker1" tcp dport 8081 counter packets 0 bytes 0 dnat to 172.18.0.2:80 comment "DNAT"
	}
	chain raw-PREROUTING {
		type filter hook prerouting priority raw; policy accept;
		ip daddr 172.18.0.2 iifname != "docker1" counter packets 0 bytes 0 drop comment "DROP DIRECT ACCESS"
	}
}
`

/** libvirt's since 10.4, its default network on virbr0. */
const LIBVIRT = `
table ip libvirt_network {
	chain forward {
		type filter hook forward priority filter; policy accept;
		counter packets 0 bytes 0 jump guest_cross
		counter packets 0 bytes 0 jump guest_input
		counter packets 0 bytes 0 jump guest_output
	}
	chain guest_output {
		ip saddr 192.168.122.0/24 iif "lo" counter packets 0 bytes 0 accept
		iifname "virbr0" counter packets 0 bytes 0 reject
	}
	chain guest_input {
		oifname "virbr0" ip daddr 192.168.122.0/24 ct state established,related counter packets 0 bytes 0 accept
		oifname "virbr0" counter packets 0 bytes 0 reject
	}
	chain guest_cross {
		iifname "virbr0" oifname "virbr0" counter packets 0 bytes 0 accept
	}
	chain guest_nat {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.168.122.0/24 ip daddr 224.0.0.0/24 counter packets 0 bytes 0 return
		meta l4proto tcp ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter packets 0 bytes 0 masquerade to :1024-65535
	}
}
`

/** kube-proxy's in its nftables mode: one service with two endpoints, session marks and hairpins. */
const KUBE_PROXY = `
table ip kube-proxy {
	comment "rules for kube-proxy"
	set cluster-ips {
		type ipv4_addr
		comment "Active ClusterIPs"
		elements = { 10.96.0.10 }
	}
	map no-endpoint-services {
		type ipv4_addr . inet_proto . inet_service : verdict
	}
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.10 . tcp . 53 : goto service-ULMVA6XW-kube-system/kube-dns/tcp/dns-tcp }
	}
	chain filter-output {
		type filter hook output priority -110; policy accept;
		ct state new jump service-endpoints-check
	}
	chain service-endpoints-check {
		ip daddr . meta l4proto . th dport vmap @no-endpoint-services
	}
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump services
	}
	chain nat-output {
		type nat hook output priority -100; policy accept;
		jump services
	}
	chain nat-postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 != 0x00000000 masquerade fully-random
	}
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
	}
	chain mark-for-masquerade {
		meta mark set meta mark | 0x00004000
	}
	chain service-ULMVA6XW-kube-system/kube-dns/tcp/dns-tcp {
		ip saddr != 10.244.0.0/16 jump mark-for-masquerade
		numgen random mod 2 vmap { 0 : goto endpoint-1, 1 : goto endpoint-2 }
	}
	chain endpoint-1 {
		ip saddr 10.244.0.4 jump mark-for-masquerade
		meta l4proto tcp dnat to 10.244.0.4:53
	}
	chain endpoint-2 {
		ip saddr 10.244.0.5 jump mark-for-masquerade
		meta l4proto tcp dnat to 10.244.0.5:53
	}
}
`

/** By the names that tests print. */
export const FOREIGN_RULESETS: Readonly<Record<string, string>> = {
  Docker: DOCKER,
  firewalld: FIREWALLD,
  ufw: UFW,
  'somebody’s own': HAND_WRITTEN,
  'Docker’s own tables': DOCKER_NFTABLES,
  libvirt: LIBVIRT,
  'kube-proxy': KUBE_PROXY,
}

/** Starts again as these programs do: the old tables out, the new ones in, in one transaction. */
export const reload = (ruleset: string): string =>
  [...ruleset.matchAll(/^table (\S+ \S+) \{/gm)]
    .map(([, table]) => `add table ${table}\ndelete table ${table}\n`)
    .join('') + ruleset

/** As Debian's nftables.service and many a script do: everybody's tables out first. */
export const restart = (ruleset: string): string => `flush ruleset\n${ruleset}`
