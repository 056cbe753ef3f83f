/** What the demo reads back, through the product's own commands. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Gateway } from '../../test/lab/gateway.ts'

export interface Record {
  readonly id: string
  readonly uid: number | null
  readonly provider: string | null
  readonly model: string | null
  readonly status: number | null
  readonly outcome: string | null
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  readonly record: { readonly reason?: string }
}

const PATIENCE_MS = 10_000

/** @throws Error with what should have held. */
export function expect(held: boolean, what: string): void {
  if (!held) throw new Error(`did not hold: ${what}`)
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** The records of a filter, newest first, once there are at least `count`: they come behind the agents. */
export async function records(gateway: Gateway, count: number, ...filter: string[]): Promise<Record[]> {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const found = (await gateway.json('records', ...filter)).records as Record[]
    if (found.length >= count) return found
    expect(Date.now() < end, `${count} records of ${filter.join(' ')}, there are ${found.length}`)
    await pause(50)
  }
}

/** Waits until `verify` finds the record's root on the chain. */
export async function untilAnchored(gateway: Gateway, id: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const { findings } = (await gateway.json('verify', id)) as {
      findings?: { check: string; result: string }[]
    }
    if (findings?.some(({ check, result }) => check.startsWith('anchor ') && result === 'proved')) return
    expect(Date.now() < end, 'the record is anchored')
    await pause(250)
  }
}

/** Some tile of the log. */
export function tileOf(gateway: Gateway): string {
  const tiles = join(gateway.paths.ledger, 'tile', '0')
  const [tile] = readdirSync(tiles, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  if (tile === undefined) throw new Error(`there is no tile in ${tiles}`)
  return join(tile.parentPath, tile.name)
}

/** Files below `places` that hold one of the words, as it is, in hex or in base64. */
export function search(places: readonly string[], words: readonly string[]): string[] {
  const forms = words.flatMap((word) => {
    const bytes = Buffer.from(word)
    // The last group of base64 depends on what follows.
    return [word, bytes.toString('hex'), bytes.toString('base64').slice(0, -4)]
  })
  return places
    .flatMap((place) => readdirSync(place, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => {
      const bytes = readFileSync(file)
      return forms.some((form) => bytes.includes(form))
    })
}
