/**
 * The LLM addresses that the kernel's sets hold: what the catalogue's names resolved to, kept over restarts so
 * that the fence stands at boot before anything can be resolved.
 *
 * Threat model: addresses come from DNS by way of a proxy worker. A poisoned answer must not cut the machine
 * off from itself, so only addresses that can be a remote host's are taken, and the book is bounded.
 */
import { readFile } from 'node:fs/promises'
import { BlockList, isIP, isIPv4 } from 'node:net'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'

/** Far above what the catalogue resolves to; a worker gone wild can't grow the kernel's sets past it. */
const MAX_ADDRESSES = 20_000
/** Provider front ends rotate; an address not seen for this long is no longer taken to be the provider's. */
const FORGET_AFTER_MS = 7 * 24 * 3600_000

const Stored = z.strictObject({ v: z.literal(1), addresses: z.record(z.string(), z.number()) })

// Two lists: a rule for ::ffff:0:0/96 would match every IPv4 address that one list is asked about.
const never = { ipv4: new BlockList(), ipv6: new BlockList() }
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const) {
  never.ipv4.addSubnet(network, prefix, 'ipv4')
}
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['::ffff:0:0', 96],
] as const) {
  never.ipv6.addSubnet(network, prefix, 'ipv6')
}

/** True for an address that a remote provider can have. */
export function isRemoteAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  return !never[kind].check(address, kind)
}

export interface AddressBook {
  readonly addresses4: string[]
  readonly addresses6: string[]
  /** Takes addresses seen now; says whether a new one was among them. */
  learn(addresses: readonly string[], now: number): boolean
  save(): Promise<void>
}

/** Opens the book at `file`; a missing or damaged one starts empty (it is a cache, filled again within minutes). */
export async function openAddressBook(file: string, now: number): Promise<AddressBook> {
  const seen = new Map<string, number>()
  const stored = await readStored(file).catch(() => undefined)
  for (const [address, time] of Object.entries(stored ?? {})) {
    if (isRemoteAddress(address) && now - time < FORGET_AFTER_MS) seen.set(address, time)
  }
  const listed = (v4: boolean) => [...seen.keys()].filter((a) => isIPv4(a) === v4).sort()
  return {
    get addresses4() {
      return listed(true)
    },
    get addresses6() {
      return listed(false)
    },
    learn(addresses, time) {
      let fresh = false
      for (const address of addresses) {
        if (!isRemoteAddress(address)) continue
        if (!seen.has(address)) {
          if (seen.size >= MAX_ADDRESSES) continue
          fresh = true
        }
        seen.set(address, time)
      }
      return fresh
    },
    save: () =>
      writeFileAtomic(file, formatSummed({ v: 1, addresses: Object.fromEntries(seen) }), { mode: 0o644 }),
  }
}

/** @throws an error where there is none, or where it isn't what was saved */
export async function readStored(file: string): Promise<Readonly<Record<string, number>>> {
  return Stored.parse(parseSummed(await readFile(file))).addresses
}
