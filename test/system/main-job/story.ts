/** How the main job is told: listings of records, what providers saw, keys that are sent. */
import { gunzipSync } from 'node:zlib'
import type { Record as DemoRecord } from '../../../cli/demo/evidence.ts'
import type { Gateway } from '../../lab/gateway.ts'
import type { Lab } from '../../lab/lab.ts'
import { NODE, REPOSITORY } from '../../lab/places.ts'
import type { WireConnection } from '../../lab/wire-log.ts'

export interface Listed extends Omit<DemoRecord, 'record'> {
  readonly kind: string
  readonly record: Record<string, unknown>
}

/** A stored body as text, its content coding removed. */
export const plain = (base64: string) => {
  const bytes = Buffer.from(base64, 'base64')
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString()
}

export const exchangesOf = (wire: WireConnection[], site: string) =>
  wire
    .filter((connection) => connection.site === site)
    .flatMap(({ exchanges, remotePort }) => exchanges.map((exchange) => ({ ...exchange, remotePort })))

export type Story = ReturnType<typeof story>

/** What the parts of the main job share. */
export function story(lab: Lab, gateway: Gateway) {
  const list = async (...filter: string[]) =>
    (await gateway.json('records', '--limit', '1000', ...filter)).records as Listed[]

  /** Waits until a listing satisfies, since finalising runs behind the agents. */
  const listed = async (enough: (rows: Listed[]) => boolean, ...filter: string[]): Promise<Listed[]> => {
    const end = Date.now() + 10_000
    for (;;) {
      const rows = await list(...filter)
      if (enough(rows) || Date.now() > end) return rows
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Waits until the record is under a checkpoint that the chain holds, then gives `verify`'s own document. */
  const verified = async (id: string) => {
    const end = Date.now() + 20_000
    for (;;) {
      const answer = await gateway.json('verify', id)
      const findings = (answer.findings ?? []) as { check: string; result: string; detail: string }[]
      const anchored = findings.some(
        ({ check, result }) => check === 'anchor development' && result === 'proved',
      )
      if (anchored || Date.now() > end) return { ...answer, findings, anchored }
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }

  /** Every key that a test sends; searched for on the disk at the end. */
  const keys: string[] = []
  const key = (name: string) => {
    const secret = `sk-proj-${name}-${'T3sTk3y'.repeat(5)}`
    keys.push(secret)
    return secret
  }

  const sdk = (user: string, script: string, options: object) =>
    lab.run(user, [NODE, `${REPOSITORY}/test/lab/clients/${script}`, JSON.stringify(options)])

  /** What a provider saw of requests with this text in their body; it logs an exchange when its answer is out. */
  const wired = async (site: string, text: string, count: number) => {
    const end = Date.now() + 5000
    for (;;) {
      const seen = exchangesOf(await lab.wireLog(), site).filter(({ body }) => body.includes(text))
      if (seen.length >= count || Date.now() > end) return seen
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  const plainSite = async () => {
    const call = await lab.run('agent1', ['curl', '-sS', '-v', '--max-time', '5', 'https://www.example.org/'])
    return { code: call.code, own: !/Agent Anchor/.test(call.stderr), said: call.stderr }
  }

  return { lab, gateway, list, listed, verified, keys, key, sdk, wired, plainSite }
}
