import { createHash, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { AnchorError } from '../../daemon/base/errors.ts'
import type { AnchorState } from '../../daemon/chain-writer/anchors.ts'
import { openLedger } from '../../daemon/ledger/ledger.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { buildReceipt } from '../../daemon/receipt/build.ts'
import { type Finding, holds } from '../../daemon/receipt/findings.ts'
import { formatReceipt, parseReceipt, type Receipt } from '../../daemon/receipt/receipt.ts'
import { verifyReceipt } from '../../daemon/receipt/verify.ts'

const dir = t.testdir()
const origin = 'log.example/receipts'
const signer = ed25519Signer(origin, generateKeyPairSync('ed25519').privateKey)
const leaf = (i: number) =>
  Buffer.from(
    JSON.stringify({
      detail: { i },
      event: 'start',
      id: `01890a5d-ac96-774b-bcce-b302099a80${String(10 + i)}`,
      kind: 'audit',
      time: '2026-01-02T03:04:05.678Z',
      v: 1,
    }),
  )

const ledger = await openLedger({ dir, origin, sign: signer.sign, verifierKey: signer.verifierKey })
await Promise.all([0, 1, 2, 3, 4].map((i) => ledger.append(leaf(i))))
await ledger.close()
const reader = openReader(dir)
const checkpoint = reader.checkpoint()!
const hash = `0x${'ab'.repeat(32)}`

const anchors = (kind: 'development' | 'rpc'): AnchorState => ({
  v: 1,
  chains: [
    {
      name: 'test',
      kind,
      chainId: 5,
      ...(kind === 'development' ? { label: 'development chain: no independent evidence' } : {}),
      contract: `0x${'11'.repeat(20)}`,
      logKey: hash,
      gateway: `0x${'22'.repeat(20)}`,
      anchors: [
        {
          size: String(checkpoint.size),
          root: checkpoint.root.toString('hex'),
          note: checkpoint.note,
          transaction: hash,
          block: 7,
          blockHash: hash,
          time: '2026-01-02T03:04:06.000Z',
          finality: 'included',
          rpc: '127.0.0.1',
        },
      ],
    },
  ],
})
const none: AnchorState = { v: 1, chains: [] }
const receiptWith = (state: AnchorState) =>
  buildReceipt(2n, { ledger: reader, verifierKey: signer.verifierKey, anchors: state })
const expectedKey = signer.verifierKey
const result = (findings: readonly Finding[], check: string) =>
  findings.find((f) => f.check === check)?.result

t.test('a receipt of an anchored record proves inclusion, signature and anchor', async (t) => {
  const receipt = receiptWith(anchors('development'))
  const { findings, record, index } = await verifyReceipt(receipt, {
    expectedKey,
    askChain: async () => ({ size: checkpoint.size, root: checkpoint.root.toString('hex') }),
  })
  t.same(
    findings.map(({ check, result }) => `${check}: ${result}`),
    ['record: proved', 'inclusion: proved', 'signature: proved', 'anchor test: proved'],
  )
  t.match(findings[3]?.detail, /development chain: no independent evidence/)
  t.equal(index, 2n)
  t.equal(record?.kind, 'audit')
  t.same(parseReceipt(Buffer.from(formatReceipt(receipt))), receipt)
})

t.test('what was not checked is said, and no anchor is claimed where there is none', async (t) => {
  const offline = await verifyReceipt(receiptWith(anchors('rpc')), { expectedKey })
  t.equal(result(offline.findings, 'anchor test'), 'not-checked')
  t.ok(holds(offline.findings))
  const unanchored = await verifyReceipt(receiptWith(none), { expectedKey })
  t.equal(result(unanchored.findings, 'anchor'), 'not-checked')
  const silent = await verifyReceipt(receiptWith(anchors('rpc')), {
    askChain: async () => {
      throw new Error('connection refused')
    },
  })
  t.equal(result(silent.findings, 'anchor test'), 'not-checked')
  t.match(silent.findings.find(({ check }) => check === 'signature')?.detail, /compare it/)
})

t.test('a chain that holds another root, or none, fails the anchor', async (t) => {
  for (const held of [undefined, { size: checkpoint.size, root: '00'.repeat(32) }]) {
    const { findings } = await verifyReceipt(receiptWith(anchors('rpc')), {
      expectedKey,
      askChain: async () => held,
    })
    t.equal(result(findings, 'anchor test'), 'failed')
    t.notOk(holds(findings))
  }
})

t.test('a receipt by another key than the expected one fails', async (t) => {
  const other = ed25519Signer(origin, generateKeyPairSync('ed25519').privateKey)
  const { findings } = await verifyReceipt(receiptWith(none), { expectedKey: other.verifierKey })
  t.equal(result(findings, 'key'), 'failed')
  t.equal(result(findings, 'inclusion'), 'failed')
  const swapped: Receipt = { ...receiptWith(none), verifierKey: other.verifierKey }
  t.equal(result((await verifyReceipt(swapped)).findings, 'inclusion'), 'failed')
})

t.test('any changed record, proof or anchor fails', async (t) => {
  const receipt = receiptWith(anchors('rpc'))
  const changed: Receipt[] = [
    { ...receipt, record: receipt.record.replace('start', 'stop') },
    { ...receipt, record: `${receipt.record} ` },
    { ...receipt, proof: receipt.proof.replace('index 2', 'index 3') },
    { ...receipt, proof: receipt.proof.replace(`\n${checkpoint.size}\n`, '\n6\n') },
    { ...receipt, anchors: [{ ...receipt.anchors[0]!, size: '4' }] },
    { ...receipt, anchors: [{ ...receipt.anchors[0]!, root: '00'.repeat(32) }] },
  ]
  for (const [i, forged] of changed.entries()) {
    t.notOk(holds((await verifyReceipt(forged, { expectedKey })).findings), `change ${i}`)
  }
})

t.test('a single changed byte never verifies as the same claim, and never crashes', async () => {
  const good = formatReceipt(receiptWith(none))
  const claim = createHash('sha256').update(receiptWith(none).record).digest('hex')
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(good)
      bytes[at] = bytes[at]! ^ change
      let receipt: Receipt
      try {
        receipt = parseReceipt(bytes)
      } catch (error) {
        return error instanceof AnchorError
      }
      const { findings } = await verifyReceipt(receipt, { expectedKey })
      const same = createHash('sha256').update(receipt.record).digest('hex') === claim
      // White space of the JSON and escapes may change without changing what is claimed.
      return !holds(findings) || (same && receipt.proof === receiptWith(none).proof)
    }),
    { numRuns: 2000 },
  )
})

t.test('what is no receipt is refused with what to do', async (t) => {
  for (const text of ['', '{', '[]', '{"type":"agent-anchor-receipt"}', `"${'x'.repeat(2 ** 21)}"`, '\xff']) {
    t.throws(() => parseReceipt(Buffer.from(text, 'latin1')), { code: 'RECEIPT_MALFORMED' })
  }
})
