/**
 * Four network namespaces: `host` (this process's own), `internet` with an LLM provider and a foreign host,
 * `container` behind a bridge of the host, `virtual` on a macvlan of its uplink. Made inside `unshare --net --mount`, so nothing reaches the machine.
 */

import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Attempt, Order, Outcome } from './agent.ts'
import type { Frame, Packet } from './packets.ts'
import {
  BRIDGE,
  BRIDGE_DEVICE,
  CONTAINER,
  FOREIGN,
  HOST,
  LLM,
  PATH,
  ROUTER,
  UPLINK,
  VIRTUAL,
} from './places.ts'

export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { env: { PATH, LC_ALL: 'C' }, encoding: 'utf8', maxBuffer: 64 << 20 })
}

/** Runs a script of nft's in this network namespace. */
export function nftScript(script: string): void {
  execFileSync('nft', ['-f', '-'], {
    env: { PATH, LC_ALL: 'C' },
    input: script,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
}

export function makeWorld(): void {
  mkdirSync('/run/netns', { recursive: true })
  sh('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns')
  sh('ip', 'link', 'set', 'lo', 'up')
  for (const namespace of ['internet', 'container', 'virtual']) {
    sh('ip', 'netns', 'add', namespace)
    sh('ip', '-n', namespace, 'link', 'set', 'lo', 'up')
  }
  const address = (namespace: string[], device: string, ...addresses: string[]) => {
    for (const a of addresses)
      sh('ip', ...namespace, 'address', 'add', a, 'dev', device, ...(a.includes(':') ? ['nodad'] : []))
  }
  const internet = ['-n', 'internet']
  const container = ['-n', 'container']

  sh('ip', 'link', 'add', UPLINK, 'type', 'veth', 'peer', 'name', 'host', 'netns', 'internet')
  address([], UPLINK, `${HOST[4]}/24`, `${HOST[6]}/64`)
  address(internet, 'host', `${ROUTER[4]}/24`, `${ROUTER[6]}/64`)
  address(internet, 'lo', `${LLM[4]}/32`, `${LLM[6]}/128`, `${FOREIGN[4]}/32`, `${FOREIGN[6]}/128`)
  sh('ip', 'link', 'set', UPLINK, 'up')
  sh('ip', ...internet, 'link', 'set', 'host', 'up')
  sh('ip', 'route', 'add', 'default', 'via', ROUTER[4])
  sh('ip', '-6', 'route', 'add', 'default', 'via', ROUTER[6])

  sh('ip', 'link', 'add', 'virtual0', 'link', UPLINK, 'type', 'macvlan', 'mode', 'bridge')
  sh('ip', 'link', 'set', 'virtual0', 'netns', 'virtual')
  address(['-n', 'virtual'], 'virtual0', `${VIRTUAL[4]}/24`, `${VIRTUAL[6]}/64`)
  sh('ip', '-n', 'virtual', 'link', 'set', 'virtual0', 'up')
  sh('ip', '-n', 'virtual', 'route', 'add', 'default', 'via', ROUTER[4])
  sh('ip', '-n', 'virtual', '-6', 'route', 'add', 'default', 'via', ROUTER[6])

  sh('ip', 'link', 'add', BRIDGE_DEVICE, 'type', 'bridge')
  sh('ip', 'link', 'add', 'veth-c', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'container')
  sh('ip', 'link', 'set', 'veth-c', 'master', BRIDGE_DEVICE)
  address([], BRIDGE_DEVICE, `${BRIDGE[4]}/24`, `${BRIDGE[6]}/64`)
  address(container, 'eth0', `${CONTAINER[4]}/24`, `${CONTAINER[6]}/64`)
  sh('ip', 'link', 'set', BRIDGE_DEVICE, 'up')
  sh('ip', 'link', 'set', 'veth-c', 'up')
  sh('ip', ...container, 'link', 'set', 'eth0', 'up')
  sh('ip', ...container, 'route', 'add', 'default', 'via', BRIDGE[4])
  sh('ip', ...container, '-6', 'route', 'add', 'default', 'via', BRIDGE[6])
  sh('ip', ...internet, 'route', 'add', '198.51.100.0/24', 'via', HOST[4])
  sh('ip', ...internet, '-6', 'route', 'add', '2001:db8:51::/64', 'via', HOST[6])
  // Tests ask more often than six times at once; the kernel would answer containers no more.
  writeFileSync('/proc/sys/net/ipv4/icmp_ratelimit', '0')
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1')
}

export interface Where {
  readonly uid?: number
  /** Default: of the same number as the user. */
  readonly gid?: number
  readonly namespace?: string
  /** With CAP_NET_RAW, as containers have by default. */
  readonly raw?: boolean
  /** A control group, below the root. */
  readonly cgroup?: string
}

/** Where the control groups of the test lie; the hierarchy is the machine's. */
export const CGROUP = `aa-firewall-test-${randomBytes(6).toString('hex')}`

/** This script again, in one of its roles, with an IPC channel. */
export function startRole(script: string, role: string, where: Where): ChildProcess {
  const { uid = 0, gid = uid, namespace, raw = false, cgroup } = where
  const join = ['sh', '-c', 'echo $$ > "$0" && exec "$@"', `/sys/fs/cgroup/${cgroup}/cgroup.procs`]
  const command = [
    ...(cgroup === undefined ? [] : join),
    ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
    ...['setpriv', '--reuid', `${uid}`, '--regid', `${gid}`, '--clear-groups', '--pdeathsig', 'KILL'],
    ...(raw && uid !== 0 ? ['--inh-caps', '+net_raw', '--ambient-caps', '+net_raw'] : []),
    ...['--', process.execPath, script, role],
  ]
  const [program = '', ...args] = command
  return spawn(program, args, { env: { PATH }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

export function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once('message', resolve))
}

export class Agent {
  readonly #child: ChildProcess
  #last = 0

  constructor(script: string, where: Where) {
    this.#child = startRole(script, 'agent', where)
  }

  tcp(address: string, port: number, more: Partial<Attempt> = {}): Promise<Outcome> {
    return this.#order({ id: ++this.#last, attempt: { protocol: 'tcp', address, port, ...more } })
  }

  udp(address: string, port: number, more: Partial<Attempt> = {}): Promise<Outcome> {
    return this.#order({ id: ++this.#last, attempt: { protocol: 'udp', address, port, ...more } })
  }

  /** Sends a frame of one's own making. */
  frame(frame: Frame): Promise<Outcome> {
    return this.#order({ id: ++this.#last, frame })
  }

  /** Sends by a raw socket. */
  packet(packet: Packet): Promise<Outcome> {
    return this.#order({ id: ++this.#last, packet })
  }

  /** Writes on a connection that was kept, and gives what comes back. */
  use(kept: string): Promise<Outcome> {
    return this.#order({ id: ++this.#last, use: kept })
  }

  /** Listens on a port and says `served` to whoever calls. */
  serve(port: number): Promise<Outcome> {
    return this.#order({ id: ++this.#last, serve: port })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((exited) => this.#child.once('exit', exited))
    this.#child.disconnect()
    await gone
  }

  #order(order: Order): Promise<Outcome> {
    return new Promise((resolve) => {
      const listen = (outcome: Outcome) => {
        if (outcome.id !== order.id) return
        this.#child.off('message', listen)
        resolve(outcome)
      }
      this.#child.on('message', listen)
      this.#child.send(order)
    })
  }
}

/** Packets that came to the far side so far, by where they were sent. */
export function arrivals(): Record<'llm' | 'foreign' | 'broadcast', number> {
  const listing = JSON.parse(sh('ip', 'netns', 'exec', 'internet', 'nft', '-j', 'list', 'counters')) as {
    nftables: { counter?: { name: string; packets: number } }[]
  }
  const of = (name: string) =>
    listing.nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0
  return { llm: of('llm'), foreign: of('foreign'), broadcast: of('broadcast') }
}

/** What the far side counts: not the host's own replies to its answers. */
export function countArrivals(): void {
  const rules = `table inet seen {
    counter llm { }
    counter foreign { }
    counter broadcast { }
    chain in {
      type filter hook prerouting priority -300;
      icmp type destination-unreachable return
      icmpv6 type destination-unreachable return
      tcp flags & rst == rst return
      # A packet that dies on the way, after conntrack of the host has seen it.
      tcp flags & (fin | syn | rst | ack) == ack tcp sequence 1 drop
      ip daddr ${LLM[4]} counter name llm
      ip6 daddr ${LLM[6]} counter name llm
      ip daddr ${FOREIGN[4]} counter name foreign
      ip6 daddr ${FOREIGN[6]} counter name foreign
      ip daddr 255.255.255.255 counter name broadcast
    }
  }
`
  execFileSync('ip', ['netns', 'exec', 'internet', 'nft', '-f', '-'], { env: { PATH }, input: rules })
}

/** Hardware address of a device. */
export function hardwareAddress(device: string, namespace?: string): string {
  const of = namespace === undefined ? [] : ['-n', namespace]
  const [link] = JSON.parse(sh('ip', ...of, '-j', 'link', 'show', device)) as { address: string }[]
  return link?.address ?? ''
}
