/** What the body key is used for, each use under a key of its own (HKDF-SHA-256, RFC 5869). */
import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { inForce } from '../sealed/format.ts'
import { type GearTable, gearTable } from './split.ts'

const KEY = 32

export interface BodyKeys {
  /** Seals files; see sealed/format.ts. */
  readonly seal: Buffer
  /** Of the key in force, then of those before it. */
  readonly chunkIds: readonly [KeyObject, ...KeyObject[]]
  readonly gear: GearTable
}

function subkey(bodyKey: Buffer, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', bodyKey, Buffer.alloc(0), `agent-anchor/${use}`, 32))
}

export function bodyKeys(bodyKey: Buffer): BodyKeys {
  const [current, ...former] = Array.from({ length: bodyKey.length / KEY }, (_, i) =>
    createSecretKey(subkey(bodyKey.subarray(i * KEY, (i + 1) * KEY), 'chunk-id')),
  )
  return {
    seal: bodyKey,
    chunkIds: [current!, ...former],
    gear: gearTable(subkey(inForce(bodyKey), 'gear')),
  }
}

/** Equal chunks have equal ids, and nobody without the key can tell whose id it is. */
export function chunkId(keys: BodyKeys, plain: Buffer): Buffer {
  return idUnder(keys.chunkIds[0], plain)
}

/** Whether `id` is the chunk's under any of the keys: it keeps its id when a pack is written anew. */
export function isChunkId(keys: BodyKeys, plain: Buffer, id: Buffer): boolean {
  return keys.chunkIds.some((key) => idUnder(key, plain).equals(id))
}

const idUnder = (key: KeyObject, plain: Buffer): Buffer => createHmac('sha256', key).update(plain).digest()
