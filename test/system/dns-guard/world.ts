/**
 * Three network namespaces: `host` (this process's own), `internet` with the machine's resolver and a foreign one,
 * `container` behind a bridge of the host that holds two networks. Made inside `unshare --net --mount`.
 */
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'

export const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
export const PROXY_UID = 4102
export const AGENT_UID = 4001
/** Of the resolver on the host itself. */
export const STUB_UID = 4200
export const PORT = 18053
export const BRIDGE = 'br-lab'

export const RESOLVER = { 4: '203.0.113.53', 6: '2001:db8:113::53' } as const
export const FOREIGN = { 4: '203.0.113.66', 6: '2001:db8:113::66' } as const
export const HOST = { 4: '192.0.2.2', 6: '2001:db8:1::2' } as const
export const STUB = '127.0.0.53'

/** Each network's route is to a resolver of its own: so the container sends from either of its addresses. */
const NETWORKS = [
  { bridge: '198.51.100.1/24', container: '198.51.100.2/24', to: RESOLVER[4] },
  { bridge: '10.9.0.1/24', container: '10.9.0.2/24', to: FOREIGN[4] },
  { bridge: '2001:db8:51::1/64', container: '2001:db8:51::2/64', to: RESOLVER[6] },
  { bridge: 'fd00:9::1/64', container: 'fd00:9::2/64', to: FOREIGN[6] },
] as const

export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { env: { PATH, LC_ALL: 'C' }, encoding: 'utf8' })
}

export function makeWorld(): void {
  // Private copies of what the guard reads: resolv.conf, and what stands behind a stub.
  sh('mount', '-t', 'tmpfs', 'tmpfs', '/run')
  mkdirSync('/run/netns')
  writeFileSync('/run/resolv.conf', '')
  sh('mount', '--bind', '/run/resolv.conf', '/etc/resolv.conf')
  sh('ip', 'link', 'set', 'lo', 'up')
  for (const namespace of ['internet', 'container']) {
    sh('ip', 'netns', 'add', namespace)
    sh('ip', '-n', namespace, 'link', 'set', 'lo', 'up')
  }
  const internet = ['-n', 'internet']
  const container = ['-n', 'container']
  const address = (where: readonly string[], device: string, ...addresses: string[]) => {
    for (const a of addresses)
      sh('ip', ...where, 'address', 'add', a, 'dev', device, ...(a.includes(':') ? ['nodad'] : []))
  }
  sh('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'far', 'netns', 'internet')
  address([], 'uplink', `${HOST[4]}/24`, `${HOST[6]}/64`)
  address(internet, 'far', '192.0.2.1/24', '2001:db8:1::1/64')
  address(internet, 'lo', ...[RESOLVER, FOREIGN].flatMap((each) => [`${each[4]}/32`, `${each[6]}/128`]))
  sh('ip', 'link', 'set', 'uplink', 'up')
  sh('ip', ...internet, 'link', 'set', 'far', 'up')
  sh('ip', 'route', 'add', 'default', 'via', '192.0.2.1')
  sh('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')

  sh('ip', 'link', 'add', BRIDGE, 'type', 'bridge')
  sh('ip', 'link', 'add', 'veth-c', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'container')
  sh('ip', 'link', 'set', 'veth-c', 'master', BRIDGE)
  for (const network of NETWORKS) {
    address([], BRIDGE, network.bridge)
    address(container, 'eth0', network.container)
  }
  sh('ip', 'link', 'set', BRIDGE, 'up')
  sh('ip', 'link', 'set', 'veth-c', 'up')
  sh('ip', ...container, 'link', 'set', 'eth0', 'up')
  for (const { bridge, container: own, to } of NETWORKS) {
    const plain = (text: string) => text.replace(/\/.*/, '')
    sh('ip', ...container, 'route', 'add', to, 'via', plain(bridge), 'src', plain(own))
  }
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1')
}

/**
 * As the firewall has it: everybody's port 53 to the guard but the proxy's; loopback and local addresses untouched. What
 * comes from a port that the guard asked from a moment ago is no new connection, and is refused instead of redirected.
 */
export function redirect(): void {
  const script = `table inet dns_guard {
  chain out { type nat hook output priority -100; policy accept
    meta skuid ${PROXY_UID} accept
    fib daddr type local accept
    meta l4proto { tcp, udp } th dport 53 redirect to :${PORT}
  }
  chain late { type filter hook output priority 12; policy accept
    meta skuid ${PROXY_UID} accept
    fib daddr type local accept
    meta l4proto { tcp, udp } th dport 53 ct status & dnat == 0 reject
  }
  chain pre { type nat hook prerouting priority -100; policy accept
    iifname "${BRIDGE}" fib daddr type != local meta l4proto { tcp, udp } th dport 53 redirect to :${PORT}
  }
}
`
  execFileSync('nft', ['-f', '-'], {
    env: { PATH, LC_ALL: 'C' },
    input: script,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
}

export function resolvConf(server: string, behind?: string): void {
  writeFileSync('/etc/resolv.conf', `nameserver ${server}\n`)
  sh('rm', '-rf', '/run/systemd')
  if (behind === undefined) return
  mkdirSync('/run/systemd/resolve', { recursive: true })
  writeFileSync('/run/systemd/resolve/resolv.conf', `nameserver ${behind}\n`)
}

export interface Where {
  readonly uid?: number
  readonly namespace?: string
}

/** This script again, in one of its roles, with an IPC channel. */
export function startRole(
  script: string,
  role: readonly string[],
  { uid = 0, namespace }: Where,
): ChildProcess {
  const own = ['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--pdeathsig', 'KILL']
  const [program = '', ...args] = [
    ...(namespace ? ['ip', 'netns', 'exec', namespace] : []),
    // The stub binds port 53 without being root.
    ...(uid === STUB_UID
      ? [...own, '--inh-caps=+net_bind_service', '--ambient-caps=+net_bind_service']
      : own),
    ...['--', process.execPath, script, ...role],
  ]
  const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc']
  return spawn(program, args, { env: { PATH }, stdio, serialization: 'advanced' })
}
