/**
 * The machine's own resolvers, to which every question goes whatever server it was asked of.
 *
 * A resolver on this machine (systemd-resolved's stub, dnsmasq, Unbound) gets its own answers from elsewhere, and these
 * questions are redirected to the guard like everybody's: asked for them, it would ask the guard again, for ever.
 * So where resolv.conf names one, what that one itself asks is taken from where it writes it down; it is asked only
 * where nothing else is known, or where the administrator names it (`dns.upstreams`), having exempted its account.
 * Should a question go round all the same, it does so once: see `in-flight.ts`.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

export interface Upstream {
  readonly address: string
  readonly port: number
  /** On this machine. */
  readonly local: boolean
}

const RESOLV_CONF = '/etc/resolv.conf'
/** Where a local resolver's own servers stand: systemd-resolved, NetworkManager, Debian's dnsmasq. */
const BEHIND_STUBS = [
  '/run/systemd/resolve/resolv.conf',
  '/run/NetworkManager/no-stub-resolv.conf',
  '/run/dnsmasq/resolv.conf',
]
const PORT = 53
const MAX_UPSTREAMS = 8
const MAX_FILE = 64 << 10
/** How old what is known of files and devices may be. */
const FRESH_MS = 2000

export interface Surroundings {
  /** Content of a file; undefined where it can't be read. */
  read(path: string): string | undefined
  /** This machine's own addresses. */
  addresses(): ReadonlySet<string>
}

/** Pure but for what `surroundings` reads. @param configured `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; empty: the machine's own */
export function chooseUpstreams(configured: readonly string[], surroundings: Surroundings): Upstream[] {
  const own = surroundings.addresses()
  const server = (address: string, port: number): Upstream => ({
    address,
    port,
    local: own.has(address) || address.startsWith('127.') || address === '::1',
  })
  if (configured.length > 0) {
    return configured.flatMap((text) => parseServer(text, server)).slice(0, MAX_UPSTREAMS)
  }
  const listed = nameServers(surroundings.read(RESOLV_CONF)).map((address) => server(address, PORT))
  const local = listed.filter((each) => each.local)
  const behind =
    local.length === 0
      ? []
      : BEHIND_STUBS.flatMap((path) => nameServers(surroundings.read(path)))
          .map((address) => server(address, PORT))
          .filter((each) => !each.local)
  const remote = distinct([...listed.filter((each) => !each.local), ...behind])
  return (remote.length > 0 ? remote : local).slice(0, MAX_UPSTREAMS)
}

/** The configured or found servers, looked at again every few seconds at most: networks come and go. */
export function upstreamSource(
  configured: readonly string[],
  surroundings: Surroundings = machine,
): () => readonly Upstream[] {
  let known: readonly Upstream[] = []
  let until = Number.NEGATIVE_INFINITY
  return () => {
    const time = performance.now()
    if (time >= until) {
      known = chooseUpstreams(configured, surroundings)
      until = time + FRESH_MS
    }
    return known
  }
}

const machine: Surroundings = {
  read(path) {
    try {
      return readFileSync(path, 'utf8').slice(0, MAX_FILE)
    } catch {
      return undefined
    }
  },
  addresses: () =>
    new Set(Object.values(networkInterfaces()).flatMap((each) => each?.map((a) => a.address) ?? [])),
}

/** resolv.conf(5): a zone may follow a link-local address. */
function nameServers(text: string | undefined): string[] {
  const found = (text ?? '').matchAll(/^nameserver[ \t]+(\S+)/gm)
  return Array.from(found, ([, address]) => address ?? '').filter((address) => isIP(address) !== 0)
}

function parseServer(text: string, server: (address: string, port: number) => Upstream): Upstream[] {
  if (isIP(text) !== 0) return [server(text, PORT)]
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const address = bracketed ?? plain ?? ''
  return isIP(address) !== 0 && Number(port) >= 1 && Number(port) <= 65535
    ? [server(address, Number(port))]
    : []
}

function distinct(servers: readonly Upstream[]): Upstream[] {
  return [...new Map(servers.map((each) => [`${each.address} ${each.port}`, each])).values()]
}
