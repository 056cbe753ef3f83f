/**
 * Three network namespaces: `host` (this process's own), `internet` with an LLM provider and a foreign host,
 * `container` behind a bridge of the host. Made inside `unshare --net --mount`, so nothing reaches the machine.
 */

import type { ChildProcess, StdioOptions } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Attempt, Order, Outcome } from './agent.ts'
import { BRIDGE, CONTAINER, FOREIGN, HOST, LLM, PATH } from './places.ts'

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
  for (const namespace of ['internet', 'container']) {
    sh('ip', 'netns', 'add', namespace)
    sh('ip', '-n', namespace, 'link', 'set', 'lo', 'up')
  }
  const address = (namespace: string[], device: string, ...addresses: string[]) => {
    for (const a of addresses)
      sh('ip', ...namespace, 'address', 'add', a, 'dev', device, ...(a.includes(':') ? ['nodad'] : []))
  }
  const internet = ['-n', 'internet']
  const container = ['-n', 'container']

  sh('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'host', 'netns', 'internet')
  address([], 'uplink', `${HOST[4]}/24`, `${HOST[6]}/64`)
  address(internet, 'host', '192.0.2.1/24', '2001:db8:1::1/64')
  address(internet, 'lo', `${LLM[4]}/32`, `${LLM[6]}/128`, `${FOREIGN[4]}/32`, `${FOREIGN[6]}/128`)
  sh('ip', 'link', 'set', 'uplink', 'up')
  sh('ip', ...internet, 'link', 'set', 'host', 'up')
  sh('ip', 'route', 'add', 'default', 'via', '192.0.2.1')
  sh('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')

  sh('ip', 'link', 'add', 'br-lab', 'type', 'bridge')
  sh('ip', 'link', 'add', 'veth-c', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'container')
  sh('ip', 'link', 'set', 'veth-c', 'master', 'br-lab')
  address([], 'br-lab', `${BRIDGE[4]}/24`, `${BRIDGE[6]}/64`)
  address(container, 'eth0', `${CONTAINER[4]}/24`, `${CONTAINER[6]}/64`)
  sh('ip', 'link', 'set', 'br-lab', 'up')
  sh('ip', 'link', 'set', 'veth-c', 'up')
  sh('ip', ...container, 'link', 'set', 'eth0', 'up')
  sh('ip', ...container, 'route', 'add', 'default', 'via', BRIDGE[4])
  sh('ip', ...container, '-6', 'route', 'add', 'default', 'via', BRIDGE[6])
  sh('ip', ...internet, 'route', 'add', '198.51.100.0/24', 'via', HOST[4])
  sh('ip', ...internet, '-6', 'route', 'add', '2001:db8:51::/64', 'via', HOST[6])
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1')
}

export interface Where {
  readonly uid?: number
  readonly namespace?: string
}

/** This script again, in one of its roles, with an IPC channel. */
export function startRole(script: string, role: string, { uid = 0, namespace }: Where): ChildProcess {
  const node = [process.execPath, script, role]
  const [program = '', ...args] = [
    ...['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--pdeathsig', 'KILL', '--'],
    ...node,
  ]
  const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc']
  return namespace
    ? spawn('ip', ['netns', 'exec', namespace, program, ...args], { env: { PATH }, stdio })
    : spawn(program, args, { env: { PATH }, stdio })
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

  udp(address: string, port: number): Promise<Outcome> {
    return this.#order({ id: ++this.#last, attempt: { protocol: 'udp', address, port } })
  }

  /** Writes on a connection that was kept, and gives what comes back. */
  use(kept: string): Promise<Outcome> {
    return this.#order({ id: ++this.#last, use: kept })
  }

  stop(): void {
    this.#child.disconnect()
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
