/**
 * What must be true of the network, as a value: the backends (nftables here, pf later) render rules from it
 * and hold no opinion of their own.
 *
 * Threat model: addresses come from DNS answers, names of interfaces and control groups from configuration, so
 * everything here is hostile until {@link validateEnforcement} has rebuilt it: only integers in range, canonical
 * addresses and names of a strict alphabet ever reach a ruleset's text.
 */
import { type Cut, validateCuts } from './cut.ts'
import { FirewallError } from './errors.ts'
import { canonicalAddress } from './ip-address.ts'

/** A port of this machine that only the listed users may connect to; nobody from outside. */
export interface GuardedPort {
  readonly port: number
  readonly uids: readonly number[]
}

/** Local senders, told by who created the socket; one of the conditions suffices. */
export interface Senders {
  readonly uids: readonly number[]
  /** Effective group of the creator, not the supplementary ones. */
  readonly gids: readonly number[]
  /** Paths below the root of cgroup2, such as `system.slice/agent.service`; what lies beneath is included. */
  readonly cgroups: readonly string[]
}

/** What these users may send past a fence around everything; never to LLM addresses. */
export interface AllowedTraffic {
  readonly protocol: 'tcp' | 'udp'
  readonly ports: readonly number[]
  readonly uids: readonly number[]
}

export interface Enforcement {
  /** What is refused past the proxy: nothing (but counted), traffic to LLM addresses, or all. */
  readonly fence: 'nothing' | 'providers' | 'everything'
  /** What is redirected: `ports` of every address and all TCP to LLM addresses, or all TCP. */
  readonly redirect: 'ports' | 'all'
  readonly ports: readonly number[]
  /** Known LLM addresses. */
  readonly addresses4: readonly string[]
  readonly addresses6: readonly string[]
  /**
   * Interfaces of containers, such as `docker0`; `br-*` stands for every name that starts with `br-`. With none,
   * what the machine forwards for others is not governed; with some and subjects `everyone`, all of it is fenced.
   */
  readonly bridges: readonly string[]
  /** Users whose own sockets pass: the proxy's, and nobody else's. */
  readonly proxyUids: readonly number[]
  /** Whose traffic is governed. */
  readonly subjects: 'everyone' | Senders
  /** Whose traffic is left alone although it would be governed. */
  readonly exempt: Senders
  readonly allowed: readonly AllowedTraffic[]
  /** Local port of the proxy's transparent listener. */
  readonly redirectPort: number
  /** Local port (TCP and UDP) of the DNS guard, to which port 53 of the governed goes; absent: DNS is let alone. */
  readonly dnsPort?: number
  /** TCP ports of services on this machine whose callers are redirected to the proxy. */
  readonly localPorts: readonly number[]
  readonly guardedPorts: readonly GuardedPort[]
  /** nfnetlink_log group to which refused packets go. */
  readonly logGroup: number
  /** nfnetlink_log group to which DNS answers are copied while there is no `dnsPort`. */
  readonly dnsLogGroup: number
  /** Refuses DNS over TLS and over QUIC (port 853) to other machines. */
  readonly resolversRefused: boolean
  /** Devices through which packets leave the machine. */
  readonly uplinks: readonly string[]
  /** How long the redirect stands without a beat of the daemon. */
  readonly leaseMs: number
  /** What is cut off since it was seen leaving past the proxy; only where the fence is around `providers`. */
  readonly cuts?: readonly Cut[]
}

/** 2^32 - 1 is "no user" and "no group" to the kernel (chown(2)). */
const MAX_ID = 0xffff_fffe
/** IFNAMSIZ is 16 with its terminator; a subset of what the kernel allows, without nft's metacharacters. */
const INTERFACE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/
const INTERFACE_PREFIX = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,13}\*$/
/** Devices have any name but `.`, `..` and those with a slash, a colon or blanks (dev_valid_name); quoted in nft. */
const DEVICE = /^(?!\.{1,2}$)[A-Za-z0-9_.@+=#%~,-]{1,15}$/
/** As systemd and container engines name them; no quote, no blank, no `..`, which would leave the hierarchy. */
const CGROUP = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9_.@:+=\\-]+(?:\/[A-Za-z0-9_.@:+=\\-]+)*$/
/** cgroup2 nests deeper, but nft compares a level at a time: one rule for each. */
const MAX_CGROUP_LEVEL = 16
const MAX_CGROUP_LENGTH = 1024
const MIN_LEASE_MS = 100
const MAX_LEASE_MS = 600_000

/**
 * The same enforcement in canonical form: validated, sorted, without duplicates.
 * @throws FirewallError `invalid-enforcement` naming the value at fault
 */
export function validateEnforcement(e: Enforcement): Enforcement {
  const { addresses4, addresses6 } = validateAddresses(e.addresses4, e.addresses6)
  const redirectPort = port('redirectPort', e.redirectPort)
  const dnsPort = e.dnsPort === undefined ? undefined : port('dnsPort', e.dnsPort)
  const guardedPorts = e.guardedPorts
    .map((guarded) => ({
      port: port('guardedPorts', guarded.port),
      uids: ids('guardedPorts', guarded.uids),
    }))
    .sort((a, b) => a.port - b.port)
  const checked: Enforcement = {
    fence: oneOf('fence', e.fence, ['nothing', 'providers', 'everything']),
    redirect: oneOf('redirect', e.redirect, ['ports', 'all']),
    ports: ports('ports', e.ports),
    addresses4,
    addresses6,
    bridges: interfaces(e.bridges),
    proxyUids: ids('proxyUids', e.proxyUids),
    subjects: e.subjects === 'everyone' ? 'everyone' : senders('subjects', e.subjects),
    exempt: senders('exempt', e.exempt),
    allowed: allowed(e.allowed),
    redirectPort,
    ...(dnsPort === undefined ? {} : { dnsPort }),
    localPorts: ports('localPorts', e.localPorts),
    guardedPorts,
    logGroup: integer('logGroup', e.logGroup, 0, 65535),
    dnsLogGroup: integer('dnsLogGroup', e.dnsLogGroup, 0, 65535),
    resolversRefused: oneOf('resolversRefused', e.resolversRefused, [true, false]),
    uplinks: devices(e.uplinks),
    leaseMs: integer('leaseMs', e.leaseMs, MIN_LEASE_MS, MAX_LEASE_MS),
    cuts: validateCuts(e.cuts ?? []),
  }
  refuseShadows(checked)
  return checked
}

/** LLM addresses in canonical form, by the family that goes over the wire. @throws FirewallError */
export function validateAddresses(
  addresses4: readonly string[],
  addresses6: readonly string[],
): Pick<Enforcement, 'addresses4' | 'addresses6'> {
  const found = { 4: new Set<string>(), 6: new Set<string>() }
  for (const text of [...addresses4, ...addresses6]) {
    const canonical = typeof text === 'string' ? canonicalAddress(text) : undefined
    if (!canonical)
      throw invalid('addresses', text, 'give plain IPv4 and IPv6 addresses, without zone or prefix')
    found[canonical.family].add(canonical.address)
  }
  return { addresses4: [...found[4]].sort(), addresses6: [...found[6]].sort() }
}

/** Ports that mean two things at once: which of the rules won would be an accident of their order. */
function refuseShadows(e: Enforcement): void {
  const own = [e.redirectPort, ...(e.dnsPort === undefined ? [] : [e.dnsPort])]
  if (e.ports.includes(e.redirectPort))
    throw invalid('redirectPort', e.redirectPort, 'use a port that is not redirected itself')
  if (e.dnsPort !== undefined && (e.dnsPort === e.redirectPort || e.dnsPort === 53))
    throw invalid('dnsPort', e.dnsPort, 'use a port of its own, and not 53')
  const guarded = e.guardedPorts.map((each) => each.port)
  for (const [i, each] of guarded.entries()) {
    if (own.includes(each) || each === guarded[i + 1])
      throw invalid('guardedPorts', each, 'list each port once')
  }
  for (const each of e.localPorts) {
    if (own.includes(each) || guarded.includes(each))
      throw invalid('localPorts', each, 'give ports of services that are not the gateway’s own')
  }
}

function senders(field: string, { uids, gids, cgroups }: Senders): Senders {
  return {
    uids: ids(`${field}.uids`, uids),
    gids: ids(`${field}.gids`, gids),
    cgroups: cgroupPaths(`${field}.cgroups`, cgroups),
  }
}

function cgroupPaths(field: string, paths: readonly string[]): string[] {
  const trimmed = paths.map((path) => (typeof path === 'string' ? path.replace(/^\/+|\/+$/g, '') : path))
  for (const path of trimmed) {
    const fits =
      typeof path === 'string' &&
      path.length <= MAX_CGROUP_LENGTH &&
      CGROUP.test(path) &&
      path.split('/').length <= MAX_CGROUP_LEVEL
    if (!fits)
      throw invalid(field, path, 'give paths below /sys/fs/cgroup, such as system.slice/agent.service')
  }
  return [...new Set(trimmed)].sort()
}

function allowed(entries: readonly AllowedTraffic[]): AllowedTraffic[] {
  return entries
    .map((entry) => ({
      protocol: oneOf<'tcp' | 'udp'>('allowed.protocol', entry.protocol, ['tcp', 'udp']),
      ports: ports('allowed.ports', entry.ports),
      uids: ids('allowed.uids', entry.uids),
    }))
    .sort((a, b) => compare(JSON.stringify(a), JSON.stringify(b)))
}

function devices(names: readonly string[]): string[] {
  for (const name of names) {
    if (typeof name !== 'string' || !DEVICE.test(name))
      throw invalid('uplinks', name, 'give names of network devices, such as eth0')
  }
  return [...new Set(names)].sort()
}

function interfaces(names: readonly string[]): string[] {
  for (const name of names) {
    if (typeof name !== 'string' || !(INTERFACE.test(name) || INTERFACE_PREFIX.test(name)))
      throw invalid('bridges', name, 'give interface names such as docker0, or a prefix such as br-*')
  }
  const prefixes = names.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
  // An interval set refuses overlapping elements, so what a prefix covers already is left out.
  const covered = (name: string) => prefixes.some((p) => name.startsWith(p) && name !== `${p}*`)
  return [...new Set(names)].filter((name) => !covered(name)).sort()
}

const ids = (field: string, values: readonly number[]) => integers(field, values, 0, MAX_ID)
const ports = (field: string, values: readonly number[]) => integers(field, values, 1, 65535)
const port = (field: string, value: number) => integer(field, value, 1, 65535)
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

function oneOf<T>(field: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value
  throw invalid(field, value, `use one of ${choices.join(', ')}`)
}

function integers(field: string, values: readonly number[], min: number, max: number): number[] {
  return [...new Set(values.map((value) => integer(field, value, min, max)))].sort((a, b) => a - b)
}

function integer(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw invalid(field, value, `give an integer from ${min} to ${max}`)
}

function invalid(field: string, value: unknown, remedy: string): FirewallError {
  const shown = (JSON.stringify(value) ?? String(value)).slice(0, 80)
  return new FirewallError('invalid-enforcement', `enforcement: ${field} can't be ${shown}`, remedy)
}
