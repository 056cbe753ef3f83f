/** What the body key is used for, each use under a key of its own (HKDF-SHA-256, RFC 5869). */
import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { type GearTable, gearTable } from './split.ts'

export interface BodyKeys {
  /** Seals files; see sealed/format.ts. */
  readonly seal: Buffer
  readonly chunkId: KeyObject
  readonly gear: GearTable
}

function subkey(bodyKey: Buffer, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', bodyKey, Buffer.alloc(0), `agent-anchor/${use}`, 32))
}

export function bodyKeys(bodyKey: Buffer): BodyKeys {
  return {
    seal: bodyKey,
    chunkId: createSecretKey(subkey(bodyKey, 'chunk-id')),
    gear: gearTable(subkey(bodyKey, 'gear')),
  }
}

/** Equal chunks have equal ids, and nobody without the key can tell whose id it is. */
export function chunkId(keys: BodyKeys, plain: Buffer): Buffer {
  return createHmac('sha256', keys.chunkId).update(plain).digest()
}
