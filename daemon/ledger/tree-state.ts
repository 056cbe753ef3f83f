/**
 * `state.json`: up to where the tree is integrated into tiles. Written last, after the tiles are durable. Its
 * own checksum tells a damaged state from a damaged tile. Pure.
 */
import { sha256 } from '#platform'
import { decodeDecimal, decodeHash, decodeUtf8 } from './encoding.ts'
import { LedgerError, RESTORE } from './errors.ts'

export interface TreeState {
  readonly origin: string
  readonly size: bigint
  readonly root: Buffer
}

export function formatState({ origin, size, root }: TreeState): Buffer {
  const fields = { version: 1, origin, size: size.toString(), root: root.toString('base64') }
  const sum = sha256(Buffer.from(JSON.stringify(fields))).toString('hex')
  return Buffer.from(`${JSON.stringify({ ...fields, sum })}\n`)
}

/** Accepts exactly what {@link formatState} writes. @throws LedgerError STATE_DAMAGED */
export function parseState(bytes: Buffer): TreeState {
  try {
    const fields: unknown = JSON.parse(decodeUtf8(bytes))
    if (isState(fields)) {
      const { origin } = fields
      const state = { origin, size: decodeDecimal(fields.size), root: decodeHash(fields.root) }
      if (formatState(state).equals(bytes)) return state
    }
  } catch (cause) {
    throw damaged(cause)
  }
  throw damaged()
}

function isState(value: unknown): value is { origin: string; size: string; root: string } {
  if (typeof value !== 'object' || value === null) return false
  const { origin, size, root } = value as Record<string, unknown>
  return typeof origin === 'string' && typeof size === 'string' && typeof root === 'string'
}

function damaged(cause?: unknown): LedgerError {
  return new LedgerError('STATE_DAMAGED', 'state.json is not what was written', RESTORE, cause)
}
