/**
 * What must be true of the network, as a value: the backends (nftables here, pf later) render rules from it
 * and hold no opinion of their own.
 *
 * Threat model: addresses come from DNS answers and interface names from configuration, so everything here is
 * hostile until {@link validateEnforcement} has rebuilt it: only integers in range, canonical addresses and
 * names of a strict alphabet ever reach a ruleset's text.
 */
import { FirewallError } from './errors.ts'
import { canonicalAddress } from './ip-address.ts'

/** A port of this machine that only the listed users may connect to; nobody from outside. */
export interface GuardedPort {
  readonly port: number
  readonly uids: readonly number[]
}

export interface Enforcement {
  /** `standard`: redirect `ports` of everybody and all TCP to LLM addresses; refuse the rest to those. */
  readonly mode: 'standard'
  /** Users whose own sockets pass: the proxy's, and nobody else's. */
  readonly exemptUids: readonly number[]
  /** TCP ports that are redirected whatever the address: 80 and 443. */
  readonly ports: readonly number[]
  /** Known LLM addresses. */
  readonly addresses4: readonly string[]
  readonly addresses6: readonly string[]
  /** Interfaces of containers, such as `docker0`; `br-*` stands for every name that starts with `br-`. */
  readonly bridges: readonly string[]
  /** Local port of the proxy's transparent listener. */
  readonly redirectPort: number
  readonly guardedPorts: readonly GuardedPort[]
  /** nfnetlink_log group to which refused packets go. */
  readonly logGroup: number
}

/** 2^32 - 1 is "no user" to the kernel (chown(2)). */
const MAX_UID = 0xffff_fffe
/** IFNAMSIZ is 16 with its terminator; a subset of what the kernel allows, without nft's metacharacters. */
const INTERFACE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/
const INTERFACE_PREFIX = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,13}\*$/

/**
 * The same enforcement in canonical form: validated, sorted, without duplicates.
 * @throws FirewallError `invalid-enforcement` naming the value at fault
 */
export function validateEnforcement(e: Enforcement): Enforcement {
  if (e.mode !== 'standard') throw invalid('mode', e.mode, 'use the mode "standard"')
  const { addresses4, addresses6 } = validateAddresses(e.addresses4, e.addresses6)
  const ports = integers('ports', e.ports, 1, 65535)
  const redirectPort = integer('redirectPort', e.redirectPort, 1, 65535)
  if (ports.includes(redirectPort))
    throw invalid('redirectPort', redirectPort, 'use a port that is not redirected itself')
  const guardedPorts = e.guardedPorts
    .map(({ port, uids }) => ({
      port: integer('guardedPorts', port, 1, 65535),
      uids: integers('guardedPorts', uids, 0, MAX_UID),
    }))
    .sort((a, b) => a.port - b.port)
  for (const [i, { port }] of guardedPorts.entries()) {
    if (port === redirectPort || port === guardedPorts[i + 1]?.port)
      throw invalid('guardedPorts', port, 'list each port once')
  }
  return {
    mode: e.mode,
    exemptUids: integers('exemptUids', e.exemptUids, 0, MAX_UID),
    ports,
    addresses4,
    addresses6,
    bridges: interfaces(e.bridges),
    redirectPort,
    guardedPorts,
    logGroup: integer('logGroup', e.logGroup, 0, 65535),
  }
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
