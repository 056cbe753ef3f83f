/**
 * A second way from `host` to the internet, plugged in while everything runs; and a guest that sits on the uplink's
 * own network, its frames passed on by a bridge and routed by nobody, as with a virtual machine on a bridged network.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Site } from './addresses.ts'
import { addNamespace, pathOf } from './network.ts'
import { PATH } from './places.ts'
import { collect, type Outcome, tool } from './process.ts'

/** RFC 2544, RFC 5180: networks of laboratories. */
export const SECOND_LINK = {
  device: 'eth1',
  internet4: '198.18.0.1',
  host4: '198.18.0.2',
  guest4: '198.18.0.3',
  internet6: '2001:2::1',
  host6: '2001:2::2',
  guest6: '2001:2::3',
} as const

export interface SecondUplink {
  /** Undoes it; the routes go with the device. */
  unplug(): Promise<void>
}

/** Plugs it in and sends everything for these sites its way. */
export async function plugIn(sites: readonly Site[]): Promise<SecondUplink> {
  const { device, internet4, host4, internet6, host6 } = SECOND_LINK
  await tool([
    'ip',
    'link',
    'add',
    'host1',
    'netns',
    'internet',
    'type',
    'veth',
    'peer',
    device,
    'netns',
    'host',
  ])
  await ip('internet', [
    `addr add ${internet4}/24 dev host1`,
    `addr add ${internet6}/64 dev host1 nodad`,
    'link set host1 up',
  ])
  await ip('host', [
    `addr add ${host4}/24 dev ${device}`,
    `addr add ${host6}/64 dev ${device} nodad`,
    `link set ${device} up`,
    ...sites.flatMap(({ address4, address6 }) => [
      `route add ${address4} via ${internet4}`,
      `route add ${address6} via ${internet6}`,
    ]),
  ])
  return { unplug: () => ip('internet', ['link delete host1']) }
}

export interface Guest {
  run(argv: readonly string[]): Promise<Outcome>
  remove(): Promise<void>
}

/** A guest behind a bridge that has the second uplink for a port. */
export async function startGuest(): Promise<Guest> {
  const { device, internet4, internet6, guest4, guest6 } = SECOND_LINK
  await addNamespace('guest')
  await ip('host', [
    'link add lan0 type bridge forward_delay 0',
    `link set ${device} master lan0`,
    'link add leg0 type veth peer name eth0 netns guest',
    'link set leg0 master lan0 up',
    'link set lan0 up',
  ])
  await ip('guest', [
    'link set lo up',
    `addr add ${guest4}/24 dev eth0`,
    `addr add ${guest6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${internet4}`,
    `route add default via ${internet6}`,
  ])
  const inside = (argv: readonly string[]): ChildProcess =>
    spawn('nsenter', [`--net=${pathOf('guest')}`, '--', ...argv], { env: { PATH, HOME: '/root' } })
  return {
    run: (argv) => collect(inside(argv)),
    async remove() {
      await tool(['ip', 'netns', 'delete', 'guest'])
      await ip('host', ['link delete lan0'])
    },
  }
}

async function ip(namespace: string, commands: readonly string[]): Promise<void> {
  await tool(['ip', '-n', namespace, '-batch', '-'], commands.join('\n'))
}
