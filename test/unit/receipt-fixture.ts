/** A log with records of every kind that a receipt can be of, under two keys, and receipts of them. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import canonicalize from 'canonicalize'
import type { AnchorState } from '../../daemon/chain-writer/anchors.ts'
import { parseSignedCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { successionText } from '../../daemon/ledger/key-history.ts'
import { openLedger } from '../../daemon/ledger/ledger.ts'
import { ed25519Signer, formatNote, parseVerifierKey } from '../../daemon/ledger/note.ts'
import { type LedgerReader, openReader } from '../../daemon/ledger/reader.ts'
import { buildReceipt } from '../../daemon/receipt/build.ts'
import type { Body, Receipt } from '../../daemon/receipt/receipt.ts'
import { LogRecord } from '../../daemon/recorder/record.ts'

export const ORIGIN = 'log.example/receipts'
/** The log's first key, which is retired, and the one that followed it. */
export const oldKey = ed25519Signer(ORIGIN, new Uint8Array(32).fill(1))
export const newKey = ed25519Signer(ORIGIN, new Uint8Array(32).fill(2))
export const witnesses = ['north', 'south', 'east'].map((name, i) =>
  cosigner(`witness.example/${name}`, new Uint8Array(32).fill(10 + i)),
)

const time = '2026-01-02T03:04:05.678Z'
const idOf = (i: number) => `01890a5d-ac96-774b-bcce-b302099a8${String(100 + i)}`
const leafOf = (record: object) => Buffer.from(canonicalize(LogRecord.parse(record))!)

export const auditLeaf = (i: number) =>
  leafOf({ v: 1, id: idOf(i), time, kind: 'audit', event: 'start', detail: { i } })

/** What was said, and what keeps it from being guessed by its hash. */
export const said = {
  'request.head': 'POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\n\r\n',
  'request.body': '{"messages":[{"role":"user","content":"How many legs has a spider?"}]}',
  'response.head': 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n',
  'response.body': '{"content":[{"type":"text","text":"Eight. ˈeɪt ∎"}]}',
} as const
type Part = keyof typeof said

const saltOf = (part: Part) => createHash('sha256').update(part).digest()
const partOf = (part: Part) => {
  const bytes = Buffer.from(said[part])
  const digest = createHash('sha256').update(saltOf(part)).update(bytes).digest('hex')
  return { digest, size: bytes.length, stored: true }
}

export const bodies = (Object.keys(said) as Part[]).map(
  (part): Body => ({
    part,
    salt: saltOf(part).toString('base64'),
    bytes: Buffer.from(said[part]).toString('base64'),
  }),
)

const endpoint = { address: '192.0.2.7', port: 443 }
const exchangeLeaf = leafOf({
  v: 1,
  id: idOf(50),
  time,
  kind: 'exchange',
  outcome: 'complete',
  provider: 'anthropic',
  server: { name: 'api.anthropic.com', tls: true, originalDestination: endpoint, upstream: endpoint },
  client: { address: '192.0.2.1', port: 40_000 },
  agent: { uid: 4001 },
  credentials: [{ where: 'header:x-api-key', fingerprint: `fp_${'0'.repeat(32)}` }],
  http: { method: 'POST', target: '/v1/messages', status: 200 },
  timing: { end: 5.5 },
  request: { head: partOf('request.head'), body: partOf('request.body') },
  response: { head: partOf('response.head'), body: partOf('response.body') },
  derived: { 'gen_ai.provider.name': 'anthropic', usageSource: 'none' },
  policy: { hash: 'ab'.repeat(32), rule: 'standard/governed-name' },
})

/** Leaf of the exchange, and of the record that ends the first key. */
export const EXCHANGE = 2n
export const SUCCESSION = 6n

function successionLeaf(): Buffer {
  const text = successionText({ origin: ORIGIN, from: oldKey.verifierKey, to: newKey.verifierKey, time })
  const note = signedBy(text, oldKey, newKey)
  const detail = { key: 'log', from: oldKey.verifierKey, to: newKey.verifierKey, note }
  return leafOf({ v: 1, id: idOf(60), time, kind: 'audit', event: 'key-rotated', detail })
}

type Key = typeof oldKey

async function append(dir: string, key: Key, leaves: readonly Buffer[]): Promise<LedgerReader> {
  const { sign, verifierKey } = key
  const ledger = await openLedger({ dir, origin: ORIGIN, sign, verifierKey })
  for (const leaf of leaves) await ledger.append(leaf)
  await ledger.close()
  return openReader(dir)
}

const LEAVES = [auditLeaf(0), auditLeaf(1), exchangeLeaf, ...[3, 4, 5].map(auditLeaf)]

/** Six leaves, or those given, under the first key. */
export const makeLog = (dir: string, leaves: readonly Buffer[] = LEAVES): Promise<LedgerReader> =>
  append(dir, oldKey, leaves)

/** The end of the first key, signed by both, and three more leaves under the second. */
export async function rotate(dir: string): Promise<LedgerReader> {
  const { note } = (await append(dir, oldKey, [successionLeaf()])).checkpoint()!
  writeFileSync(
    join(dir, 'checkpoint'),
    signedBy(note.slice(0, note.lastIndexOf('\n\n') + 1), newKey, oldKey),
  )
  return append(dir, newKey, [7, 8, 9].map(auditLeaf))
}

function signedBy(text: string, ...keys: readonly Key[]): string {
  const lines = keys.map((key) =>
    formatNote(text, parseVerifierKey(key.verifierKey), key.sign(Buffer.from(text))).slice(text.length + 1),
  )
  return `${text}\n${lines.join('')}`
}

const hash = `0x${'ab'.repeat(32)}`

/** Anchors of checkpoints on one chain. */
export function anchorsOf(kind: 'development' | 'rpc', reader: LedgerReader, note?: string): AnchorState {
  const { size, root, note: newest } = reader.checkpoint()!
  const anchor = { size: String(size), root: root.toString('hex'), note: note ?? newest }
  return {
    v: 1,
    chains: [
      {
        name: 'test',
        kind,
        chainId: 1,
        ...(kind === 'development' ? { label: 'development chain: no independent evidence' } : {}),
        contract: `0x${'11'.repeat(20)}`,
        logKey: hash,
        gateway: `0x${'22'.repeat(20)}`,
        anchors: [
          {
            ...anchor,
            transaction: hash,
            block: 7,
            blockHash: hash,
            time: '2026-01-02T03:04:06.000Z',
            finality: 'safe',
            rpc: 'rpc.example',
          },
        ],
      },
    ],
  }
}

export const NO_ANCHORS: AnchorState = { v: 1, chains: [] }

export function receiptOf(
  reader: LedgerReader,
  indexes: readonly bigint[],
  anchors = NO_ANCHORS,
  verifierKey = oldKey.verifierKey,
  keyRecords: readonly bigint[] = [],
  cosigned?: string,
): Receipt {
  return buildReceipt(indexes, {
    ledger: reader,
    verifierKey,
    anchors,
    keyRecords: () => keyRecords,
    cosigned: () => (cosigned === undefined ? undefined : parseSignedCheckpoint(cosigned)),
  })
}

/** The receipt with the exchange's bodies in it. */
export const withBodies = (receipt: Receipt, held: readonly Body[] = bodies): Receipt => ({
  ...receipt,
  records: receipt.records.map((one) =>
    one.record === exchangeLeaf.toString() ? { ...one, bodies: [...held] } : one,
  ),
})

/** The receipt with its checkpoint cosigned. */
export function cosigned(receipt: Receipt, who: readonly (typeof witnesses)[number][], at = 1_767_323_100n) {
  const note = receipt.proof.slice(receipt.proof.indexOf('\n\n') + 2)
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1)
  return { ...receipt, proof: `${receipt.proof}${who.map((witness) => witness.cosign(text, at)).join('')}` }
}
