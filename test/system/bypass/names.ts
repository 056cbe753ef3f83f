/** Names that lie about their addresses, and what came to where they point. */
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressesOf, METADATA } from '../../lab/addresses.ts'
import { REPOSITORY } from '../../lab/places.ts'
import type { WireConnection } from '../../lab/wire-log.ts'
import { keyOf, type Sight } from './judge.ts'

/** /etc/hosts is looked at once a second. */
const HOSTS_MS = 1100

/** A command whose user has a file of names of his own, in a user namespace of his own. */
export const withHosts = (hosts: string, argv: readonly string[]): string[] => [
  ...['/usr/bin/unshare', '--user', '--map-root-user', '--mount', '--', '/bin/sh', '-ec'],
  'mine=$(mktemp); printf "%s\\n" "$1" >"$mine"; mount --bind "$mine" /etc/hosts; shift; "$@"',
  ...['sh', hosts, ...argv],
]

/** Does something while root's own file of names has these lines too. */
export async function inHosts<T>(lines: string, act: () => Promise<T>): Promise<T> {
  const before = readFileSync('/etc/hosts')
  writeFileSync('/etc/hosts', Buffer.concat([before, Buffer.from(`${lines}\n`)]))
  try {
    await sleep(HOSTS_MS)
    return await act()
  } finally {
    writeFileSync('/etc/hosts', before)
    await sleep(HOSTS_MS)
  }
}

/** A web site on all of the machine's addresses; it prints what it is asked for. */
export const localSite = (port: number): string[] => [
  ...['/usr/bin/python3', '-B', `${REPOSITORY}/test/lab/attackers/local_site.py`, JSON.stringify({ port })],
]

/** Calls that are gone when they arrive, see vanishing_call.py. */
export const vanishingCalls = (asked: {
  readonly address: string
  readonly port: number
  readonly host: string
  readonly target: string
  readonly count: number
  readonly reset?: boolean
}): string[] => [
  ...['/usr/bin/python3', '-B', `${REPOSITORY}/test/lab/attackers/vanishing_call.py`, JSON.stringify(asked)],
]

/** What came to the metadata service in between: from the proxy, and from anybody else. */
export function metadataVisits(
  before: Sight,
  after: Sight,
): { proxy: WireConnection[]; others: WireConnection[] } {
  const addresses = addressesOf(METADATA)
  const visits = after.connections
    .slice(before.connections.length)
    .filter(({ localAddress }) => addresses.includes(localAddress))
  const isProxy = (visit: WireConnection) => after.proxyFlows.has(keyOf(visit))
  return { proxy: visits.filter(isProxy), others: visits.filter((visit) => !isProxy(visit)) }
}
