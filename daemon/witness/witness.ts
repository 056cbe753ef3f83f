/**
 * The gateway as a witness of other logs: POST /add-checkpoint of c2sp.org/tlog-witness.
 *
 * Threat model: requests come from anybody, and a log that is known here may be in the hands of whoever wants to show
 * two histories. Requests about one log are taken one after the other, and what is cosigned is durable before the
 * cosignature is made: so no kill and no race yields two roots for one size or a step back.
 */
import type { FileSystem } from '../base/durable/file-system.ts'
import type { Answer, Request } from '../http/bounded-server.ts'
import type { Cosigner } from '../ledger/cosignature.ts'
import { noteText, parseVerifierKey } from '../ledger/note.ts'
import { CosignedState } from './cosigned-state.ts'
import { type Asked, judge, readRequest } from './judge.ts'

export interface WitnessOptions {
  readonly dir: string
  readonly cosigner: Cosigner
  /** Verifier keys of the logs that it knows. */
  readonly logs: readonly string[]
  readonly fs?: FileSystem
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** The trusted keys of each log by its origin: a key's name is its log's origin. @throws LedgerError MALFORMED_KEY */
export function knownLogs(logs: readonly string[]): (origin: string) => readonly string[] | undefined {
  const keys = new Map<string, string[]>()
  for (const key of logs) {
    const { name } = parseVerifierKey(key)
    keys.set(name, [...(keys.get(name) ?? []), key])
  }
  return (origin) => keys.get(origin)
}

export function witness({
  dir,
  cosigner,
  logs,
  fs,
  now = Date.now,
}: WitnessOptions): (request: Request) => Promise<Answer> {
  const state = new CosignedState(dir, fs)
  const keysOf = knownLogs(logs)
  const turns = new Map<string, Promise<unknown>>()

  const add = async (asked: Asked): Promise<Answer> => {
    const verdict = judge(asked, state.read(asked.checkpoint.origin, asked.keys))
    if ('refuse' in verdict) return verdict.refuse
    await state.write(verdict.cosign)
    const time = BigInt(Math.floor(now() / 1000))
    return { status: 200, body: cosigner.cosign(noteText(verdict.cosign.note), time) }
  }

  return async ({ method, path, body }) => {
    if (path !== '/add-checkpoint') return { status: 404 }
    if (method !== 'POST') return { status: 405, headers: { allow: 'POST' } }
    const asked = readRequest(body, keysOf)
    if ('refuse' in asked) return asked.refuse
    const { origin } = asked.checkpoint
    const turn = (turns.get(origin) ?? Promise.resolve()).then(() => add(asked))
    turns.set(
      origin,
      turn.catch(() => undefined),
    )
    return turn
  }
}
