/**
 * Two network namespaces with one link between them: `internet`, where all providers live on the
 * loopback device, and `host`, the machine that agents and gateway share. Containers (containers.ts) have one each.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { addressesOf, LINK, WIDE_SITES } from './addresses.ts'
import { tool } from './process.ts'
import type { User } from './users.ts'

/** `internet`, `host` or a container's. */
export type Namespace = string

/** Makes both namespaces, the link and the sites' addresses. `removeNetwork` is its inverse. */
export async function buildNetwork(): Promise<void> {
  await addNamespace('internet')
  await tool(['ip', '-n', 'internet', '-batch', '-'], sitesScript())
  await connectHost()
}

/** Puts a new, empty namespace `host` in the place of the old one, which a machine takes down with it as it goes. */
export async function renewHost(): Promise<void> {
  // The kernel takes a namespace apart in its own time: the link's name must be free before that.
  await tool(['ip', '-n', 'internet', 'link', 'delete', 'host'])
  await tool(['ip', 'netns', 'delete', 'host'])
  await connectHost()
}

/** Takes the addresses from the host's link, and puts it down: as a machine finds it that is switched on. */
export async function bareLink(): Promise<void> {
  await tool(['ip', '-n', 'host', 'address', 'flush', 'dev', 'eth0'])
  await tool(['ip', '-n', 'host', 'link', 'set', 'eth0', 'down'])
}

/** Gives the host's link what {@link bareLink} took. */
export async function dressLink(): Promise<void> {
  await tool(['ip', '-n', 'host', '-batch', '-'], hostScript())
}

async function connectHost(): Promise<void> {
  await addNamespace('host')
  await tool(['ip', '-batch', '-'], linkScript())
  await tool(['ip', '-n', 'internet', '-batch', '-'], internetScript())
  await dressLink()
}

/** Makes a namespace with IPv6 in it. */
export async function addNamespace(namespace: Namespace): Promise<void> {
  await tool(['ip', 'netns', 'add', namespace])
  // Containers and some distributions switch IPv6 off for namespaces to come.
  await tool(
    ['nsenter', `--net=${pathOf(namespace)}`, 'tee', '/proc/sys/net/ipv6/conf/all/disable_ipv6'],
    '0',
  )
}

/** Undoes `buildNetwork` and whatever was added to it since: /run/netns is the laboratory's own. */
export async function removeNetwork(): Promise<void> {
  for (const line of (await tool(['ip', 'netns', 'list'])).split('\n')) {
    const namespace = line.split(' ')[0]
    if (namespace !== undefined && namespace !== '') await tool(['ip', 'netns', 'delete', namespace])
  }
}

/** Starts a program in a namespace, as a user without groups and capabilities, or as root. No shell. */
export function spawnIn(
  namespace: Namespace,
  user: User | 'root',
  argv: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const identity =
    user === 'root' || user.uid === 0
      ? []
      : [
          ...['setpriv', '--reuid', String(user.uid), '--regid', String(user.gid)],
          ...['--clear-groups', '--inh-caps=-all', '--'],
        ]
  // Both programs replace themselves, so that the child's pid is the program's.
  return spawn('nsenter', [`--net=${pathOf(namespace)}`, '--', ...identity, ...argv], options)
}

/** The file that names a namespace, for nsenter and setns(2). */
export function pathOf(namespace: Namespace): string {
  return `/run/netns/${namespace}`
}

function linkScript(): string {
  return [
    'link set lo up',
    'link add host netns internet type veth peer name eth0 netns host',
    // Duplicate address detection would keep the addresses unusable for a second: hence nodad below.
  ].join('\n')
}

function sitesScript(): string {
  return [
    'link set lo up',
    ...WIDE_SITES.flatMap(addressesOf).map((address) =>
      address.includes(':') ? `addr add ${address}/128 dev lo nodad` : `addr add ${address}/32 dev lo`,
    ),
  ].join('\n')
}

function internetScript(): string {
  return [
    `addr add ${LINK.internet4}/${LINK.prefix4} dev host`,
    `addr add ${LINK.internet6}/${LINK.prefix6} dev host nodad`,
    'link set host up',
    `route add default via ${LINK.host4}`,
    `route add default via ${LINK.host6}`,
  ].join('\n')
}

function hostScript(): string {
  return [
    'link set lo up',
    `addr add ${LINK.host4}/${LINK.prefix4} dev eth0`,
    `addr add ${LINK.host6}/${LINK.prefix6} dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${LINK.internet4}`,
    `route add default via ${LINK.internet6}`,
  ].join('\n')
}
