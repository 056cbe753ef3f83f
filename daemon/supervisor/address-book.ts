/**
 * The LLM addresses that the kernel's sets hold: what governed names resolved to, or were seen to resolve to,
 * kept over restarts so that the fence stands at boot before anything can be resolved.
 *
 * Threat model: addresses come from DNS, by way of unprivileged children. A poisoned answer must not cut the
 * machine off from itself, so only addresses that can be a remote host's are taken. The book is bounded, and
 * what was merely seen in passing can't fill it: room is kept for what the gateway resolves itself.
 */
import { readFile } from 'node:fs/promises'
import { BlockList, isIP, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { NEAR4, NEAR6, networkOf } from '../../firewall/near-addresses.ts'
import { writeFileAtomic } from '../base/durable/files.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'

/** Far above what the catalogue resolves to; a child gone wild can't grow the kernel's sets past it. */
const MAX_ADDRESSES = 20_000
const MAX_PASSIVE = 15_000
/** A client may hold an answer for as long as it says, and use it a little later still. */
const LEAST_TTL_SECONDS = 60
/** RFC 8767, section 4: answers are not to be kept for longer than a week, whatever they say. */
const MOST_TTL_SECONDS = 7 * 24 * 3600
/** Front ends rotate and come back, and programs hold on to addresses longer than DNS allows. */
const GRACE_MS = 24 * 3600_000
const MAX_NAME = 255

const StoredEntry = z.strictObject({ until: z.number(), name: z.string().max(MAX_NAME).optional() })
const Stored = z.union([
  z.strictObject({ v: z.literal(2), addresses: z.record(z.string(), StoredEntry) }),
  /** Before 0.2: when each was last seen. */
  z.strictObject({ v: z.literal(1), addresses: z.record(z.string(), z.number()) }),
])

// Two lists: a rule for ::ffff:0:0/96 would match every IPv4 address that one list is asked about.
const never = { ipv4: new BlockList(), ipv6: new BlockList() }
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['224.0.0.0', 3],
  ...NEAR4.map(networkOf),
] as const) {
  never.ipv4.addSubnet(network, prefix, 'ipv4')
}
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['ff00::', 8],
  ['::ffff:0:0', 96],
  ...NEAR6.map(networkOf),
] as const) {
  never.ipv6.addSubnet(network, prefix, 'ipv6')
}

/** An address that a remote provider can have. */
export function isRemoteAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  return !never[kind].check(address, kind)
}

export interface Sighted {
  readonly address: string
  /** Of the DNS record; the least that is assumed where it isn't known. */
  readonly ttlSeconds?: number | undefined
  /** The governed name that it is an address of. */
  readonly name?: string | undefined
  /** Seen in somebody else's answer, not resolved by the gateway. */
  readonly passive?: boolean | undefined
}

export interface AddressBook {
  /** Sorted; the same array until something changes. */
  readonly addresses4: readonly string[]
  readonly addresses6: readonly string[]
  /** Takes addresses seen at `now` (milliseconds since the epoch); says whether a new one was among them. */
  learn(entries: readonly Sighted[], now: number): boolean
  /** Lets go of what wasn't seen for its TTL and a grace of a day; says whether there was any. */
  expire(now: number): boolean
  /** The governed name that an address was last seen to belong to. */
  nameOf(address: string): string | undefined
  save(): Promise<void>
}

interface Entry {
  readonly until: number
  readonly name: string | undefined
  readonly passive: boolean
}

/** The machine's own addresses now. */
function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return new Set(all.map(({ address }) => address))
}

/** Opens the book at `file`; a missing or damaged one starts empty (it is a cache, filled again within minutes). */
export async function openAddressBook(
  file: string,
  now: number,
  own: () => ReadonlySet<string> = ownAddresses,
): Promise<AddressBook> {
  const entries = new Map<string, Entry>()
  let passives = 0
  let listed: { 4: readonly string[]; 6: readonly string[] } | undefined

  const put = (address: string, entry: Entry): void => {
    const known = entries.get(address)
    if (known?.passive) passives -= 1
    if (entry.passive) passives += 1
    if (!known) listed = undefined
    entries.set(address, entry)
  }
  const hasRoom = (passive: boolean) => entries.size < MAX_ADDRESSES && (!passive || passives < MAX_PASSIVE)

  for (const [address, { until, name }] of await readStored(file).catch(() => [])) {
    // Nothing could be seen while the gateway was down, so nothing expires for that: at least one grace more.
    // What told it is not kept; the first sighting says so again.
    if (!isRemoteAddress(address) || !hasRoom(true)) continue
    put(address, { until: Math.max(Math.min(until, latest(now)), now + GRACE_MS), name, passive: true })
  }

  const lists = () => {
    if (listed) return listed
    const all = [...entries.keys()].sort()
    listed = { 4: all.filter((a) => isIPv4(a)), 6: all.filter((a) => !isIPv4(a)) }
    return listed
  }
  return {
    get addresses4() {
      return lists()[4]
    },
    get addresses6() {
      return lists()[6]
    },
    learn(sighted, time) {
      let fresh = false
      for (const { address, ttlSeconds, name, passive = false } of sighted) {
        if (!isRemoteAddress(address)) continue
        const known = entries.get(address)
        if (!known && (!hasRoom(passive) || own().has(address))) continue
        fresh ||= known === undefined
        put(address, {
          until: Math.max(known?.until ?? 0, time + lifetime(ttlSeconds)),
          name: name !== undefined && name.length <= MAX_NAME ? name : known?.name,
          passive: passive && (known?.passive ?? true),
        })
      }
      return fresh
    },
    expire(time) {
      const before = entries.size
      for (const [address, { until, passive }] of entries) {
        if (until > time) continue
        if (passive) passives -= 1
        entries.delete(address)
      }
      if (entries.size === before) return false
      listed = undefined
      return true
    },
    nameOf: (address) => entries.get(address)?.name,
    save: () => {
      const addresses = Object.fromEntries(
        [...entries].map(([address, { until, name }]) => [address, { until, ...(name ? { name } : {}) }]),
      )
      return writeFileAtomic(file, formatSummed({ v: 2, addresses }), { mode: 0o644 })
    },
  }
}

/** Milliseconds from a sighting to its expiry. */
function lifetime(ttlSeconds = LEAST_TTL_SECONDS): number {
  const ttl = Math.min(
    Math.max(Number.isFinite(ttlSeconds) ? ttlSeconds : 0, LEAST_TTL_SECONDS),
    MOST_TTL_SECONDS,
  )
  return ttl * 1000 + GRACE_MS
}

/** A clock that was ahead once must not keep an address for ever. */
const latest = (now: number) => now + lifetime(MOST_TTL_SECONDS)

/** What was saved, by address. @throws an error where there is none, or where it isn't what was saved */
export async function readStored(
  file: string,
): Promise<[string, { until: number; name?: string | undefined }][]> {
  const stored = Stored.parse(parseSummed(await readFile(file)))
  return stored.v === 2
    ? Object.entries(stored.addresses)
    : Object.entries(stored.addresses).map(([address, seen]) => [address, { until: seen + lifetime() }])
}
