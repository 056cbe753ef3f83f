import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { AnchorError } from '../../daemon/base/errors.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import type { HeldAnchor } from '../../daemon/receipt/anchor-finding.ts'
import { type Finding, holds, verdictOn } from '../../daemon/receipt/findings.ts'
import { findingsText } from '../../daemon/receipt/findings-text.ts'
import { formatReceipt, parseReceipt, type Receipt } from '../../daemon/receipt/receipt.ts'
import { type VerifyOptions, verifyReceipt } from '../../daemon/receipt/verify.ts'
import {
  anchorsOf,
  auditLeaf,
  bodies,
  cosigned,
  EXCHANGE,
  makeLog,
  newKey,
  ORIGIN,
  oldKey,
  receiptOf,
  rotate,
  SUCCESSION,
  said,
  withBodies,
  witnesses,
} from './receipt-fixture.ts'
import { mutatedReceipt } from './receipt-mutations.ts'

const dir = t.testdir()
const reader = await makeLog(dir)
const checkpoint = reader.checkpoint()!
const anchored = anchorsOf('rpc', reader)
const audit = receiptOf(reader, [1n], anchored)
const exchange = withBodies(receiptOf(reader, [EXCHANGE], anchored))
const batch = withBodies(receiptOf(reader, [0n, EXCHANGE, 5n], anchored))
const expectedKey = oldKey.verifierKey
const held = { size: checkpoint.size, root: checkpoint.root.toString('hex'), block: 8 }

const told = (findings: readonly Finding[]) => findings.map(({ check, result }) => `${check}: ${result}`)
const found = (findings: readonly Finding[], check: string) => findings.find((f) => f.check === check)
const findingsOf = async (receipt: Receipt, options: VerifyOptions = { expectedKey }) =>
  (await verifyReceipt(receipt, options)).findings
/** As whoever gets the file reads it. */
const asSent = (receipt: Receipt) => parseReceipt(Buffer.from(formatReceipt(receipt)))

t.test('a receipt of an anchored record proves signature, inclusion and anchor', async (t) => {
  const { findings, records, indexes } = await verifyReceipt(audit, {
    expectedKey,
    askChain: async () => ({ ...held, finality: 'finalized', saidBy: 'rpc.example' }),
  })
  t.same(told(findings), ['record: proved', 'signature: proved', 'inclusion: proved', 'anchor test: proved'])
  t.match(findings[3]?.detail, /chain 1, block 8, .*; finality: finalized, says rpc\.example/)
  t.same(indexes, [1n])
  t.equal(records[0]?.kind, 'audit')
  t.equal(verdictOn(findings), 'verified')
  t.same(asSent(audit), audit)
})

t.test('what the development chain is worth stands beside its anchor', async (t) => {
  const receipt = receiptOf(reader, [1n], anchorsOf('development', reader))
  const findings = await findingsOf(receipt, { expectedKey, askChain: async () => held })
  t.match(
    found(findings, 'anchor test')?.detail,
    /labelled "development chain: no independent evidence".*finality: not told/,
  )
})

t.test('offline, an anchor is not checked, and its finality is only what the receipt says', async (t) => {
  const findings = await findingsOf(audit)
  t.match(found(findings, 'anchor test'), {
    result: 'not-checked',
    detail: /^no chain was asked; said to be on chain 1, .*; safe when .* by the word of rpc\.example$/,
  })
  t.equal(verdictOn(findings), 'verified')
  t.match(findingsText(findings), /\n\nverified, 1 claim\(s\) not checked$/)
  const unanchored = await findingsOf(receiptOf(reader, [1n]))
  t.equal(found(unanchored, 'anchor')?.result, 'not-checked')
  const silent = await findingsOf(audit, {
    expectedKey,
    askChain: async () => {
      throw new Error('connection refused')
    },
  })
  t.match(found(silent, 'anchor test'), { result: 'not-checked', detail: /connection refused/ })
})

t.test('a chain that holds another root, or none, fails the anchor', async (t) => {
  const answers: (HeldAnchor | undefined)[] = [undefined, { ...held, root: '00'.repeat(32) }]
  for (const answer of answers) {
    const findings = await findingsOf(audit, { expectedKey, askChain: async () => answer })
    t.equal(found(findings, 'anchor test')?.result, 'failed')
    t.equal(verdictOn(findings), 'failed')
  }
})

t.test('a receipt under no key but its own is not confirmed', async (t) => {
  const findings = await findingsOf(audit, {})
  t.match(found(findings, 'key'), { result: 'not-checked', detail: /only the receipt itself names it/ })
  t.equal(found(findings, 'inclusion')?.result, 'proved')
  t.equal(verdictOn(findings), 'unconfirmed')
  t.match(findingsText(findings), /NOT CONFIRMED/)
})

t.test('a receipt by another key than the expected one fails, and says nothing of the log', async (t) => {
  const other = ed25519Signer(ORIGIN, generateKeyPairSync('ed25519').privateKey)
  const findings = await findingsOf(audit, { expectedKey: other.verifierKey })
  t.same(told(findings), ['record: proved', 'key: failed', 'inclusion: not-checked'])
  t.equal(verdictOn(findings), 'failed')
  const swapped = await findingsOf({ ...audit, verifierKey: other.verifierKey }, {})
  t.equal(found(swapped, 'signature')?.result, 'failed')
  const none = await findingsOf(audit, { expectedKey: 'no key' })
  t.match(found(none, 'key'), { result: 'failed', detail: /not a verifier key/ })
})

t.test(
  'bodies in a receipt are proved by their salted digests, those that are not in it are named',
  async (t) => {
    const findings = await findingsOf(asSent(exchange))
    for (const part of Object.keys(said)) t.equal(found(findings, `body ${part}`)?.result, 'proved', part)
    t.notOk(found(findings, 'bodies'))
    const [head, body] = bodies
    const some = await findingsOf(withBodies(exchange, [head!, { ...body!, bytes: bodies[3]!.bytes }]))
    t.equal(found(some, 'body request.head')?.result, 'proved')
    t.equal(found(some, 'body request.body')?.result, 'failed')
    t.match(found(some, 'bodies'), { result: 'not-checked', detail: /response\.head, response\.body$/ })
    t.equal(verdictOn(some), 'failed')
    const without = await findingsOf(receiptOf(reader, [EXCHANGE]))
    t.match(found(without, 'bodies'), { result: 'not-checked' })
    t.equal(verdictOn(without), 'verified')
    const salt = await findingsOf(withBodies(exchange, [{ ...head!, salt: body!.salt }]))
    t.equal(found(salt, 'body request.head')?.result, 'failed', "under another's salt")
    const loose = await findingsOf(
      withBodies(exchange, [{ ...head!, salt: head!.salt.replace(/.=$/, '_=') }]),
    )
    t.match(found(loose, 'body request.head')?.detail, /canonical base64/)
    const stray = await findingsOf({ ...audit, records: [{ ...audit.records[0]!, bodies: [head!] }] })
    t.match(found(stray, 'body request.head')?.detail, /no such part/)
  },
)

t.test('witnesses are those whom the verifier trusts, and a quorum is theirs', async (t) => {
  const keys = witnesses.map(({ verifierKey }) => verifierKey)
  const [north, south, east] = witnesses
  const two = asSent(cosigned(audit, [north!, south!]))
  const by = async (receipt: Receipt, quorum?: number) =>
    found(
      await findingsOf(receipt, { expectedKey, witnesses: { keys, ...(quorum && { quorum }) } }),
      'witnesses',
    )
  t.match(await by(two, 2), {
    result: 'proved',
    detail: /^cosigned by 2 of the 3 .*\(witness\.example\/north at 2026-01-02T03:05:00Z, .*south/,
  })
  t.match(await by(two), { result: 'failed', detail: /2 of the 3 .*; you want 3$/ })
  t.match(
    await by(cosigned(audit, [north!, north!, north!]), 2),
    { result: 'failed' },
    'one that signs thrice',
  )
  t.match(await by(audit, 1), { result: 'failed', detail: /0 of the 3/ })
  const stranger = cosigner('witness.example/stranger', new Uint8Array(32).fill(99))
  t.match(await by(cosigned(audit, [stranger, north!, south!, east!])), { result: 'proved' })
  const forged = cosigned(audit, [{ ...north!, cosign: (text, at) => north!.cosign(`${text}x`, at) }])
  t.match(await by(forged, 1), { result: 'failed' })
  t.match(found(await findingsOf(two), 'witnesses'), {
    result: 'not-checked',
    detail: /2 more signature\(s\), by the names of witness\.example\/north, witness\.example\/south/,
  })
})

t.test('a later checkpoint that witnesses cosigned speaks for an earlier one that it extends', async (t) => {
  const dir = t.testdir()
  const log = await makeLog(dir)
  const early = anchorsOf('rpc', log)
  const grown = await makeLog(dir, [7, 8].map(auditLeaf))
  const { note } = grown.checkpoint()!
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1)
  const keys = witnesses.map(({ verifierKey }) => verifierKey)
  const seen = `${note}${witnesses.map((one) => one.cosign(text, 1n)).join('')}`
  const options = { expectedKey, witnesses: { keys } }
  const receipt = asSent(receiptOf(grown, [1n], early, expectedKey, [], seen))
  t.match(found(await findingsOf(receipt, options), 'witnesses'), {
    result: 'proved',
    detail: /cosigned by 3 of the 3 .*, in a tree of 8 leaves that extends this one$/,
  })
  t.match(found(await findingsOf(receipt), 'witnesses'), {
    result: 'not-checked',
    detail: /3 more signature/,
  })
  const { witnessed } = receipt
  for (const changed of [
    { ...witnessed!, consistency: witnessed!.consistency.slice(1) },
    { ...witnessed!, consistency: ['AAAA'] },
    { ...witnessed!, checkpoint: witnessed!.checkpoint.replace('\n8\n', '\n9\n') },
    { ...witnessed!, checkpoint: 'none' },
  ]) {
    const findings = await findingsOf({ ...receipt, witnessed: changed }, options)
    t.equal(found(findings, 'witnesses')?.result, 'failed')
  }
  const unanchored = receiptOf(grown, [1n], undefined, expectedKey, [], seen)
  t.equal(
    unanchored.witnessed,
    undefined,
    'where nothing is anchored the cosigned checkpoint is the receipt’s own',
  )
  t.equal(found(await findingsOf(unanchored, options), 'witnesses')?.result, 'proved')
})

t.test('a receipt of several records has one proof for all', async (t) => {
  const { findings, indexes } = await verifyReceipt(asSent(batch), { expectedKey })
  t.same(indexes, [0n, EXCHANGE, 5n])
  t.match(found(findings, 'inclusion'), { result: 'proved', detail: /^leaves 0, 2, 5 of log\.example/ })
  t.equal(found(findings, 'record 2')?.result, 'proved')
  t.equal(found(findings, 'body request.body of record 2')?.result, 'proved')
  t.equal(verdictOn(findings), 'verified')
  const [first, second, third] = batch.records
  for (const records of [
    [second!, first!, third!],
    [first!, second!],
    [first!, first!, third!],
  ]) {
    t.equal(found(await findingsOf({ ...batch, records }), 'inclusion')?.result, 'failed')
  }
  t.equal(found(await findingsOf({ ...audit, records: batch.records }), 'inclusion')?.result, 'failed')
})

t.test('a receipt of version 1 verifies as ever, and one of a later version says so', async (t) => {
  const { records, anchors, ...rest } = audit
  const old = anchors.map(({ finality, saidBy, ...place }) => place)
  const type = 'agent-anchor-receipt'
  const v1 = { type, schemaVersion: 1, record: records[0]!.record, ...rest, anchors: old }
  const read = (document: object) => parseReceipt(Buffer.from(JSON.stringify(document)))
  t.equal(verdictOn(await findingsOf(read(v1))), 'verified')
  t.throws(() => read({ ...v1, bodies: [] }), { code: 'RECEIPT_MALFORMED' }, 'with what it had not')
  t.throws(() => read({ ...v1, schemaVersion: 3, news: true }), {
    code: 'RECEIPT_VERSION',
    message: /version 3/,
  })
  for (const schemaVersion of [0, -1, 1.5, '1', null]) {
    t.throws(() => read({ ...v1, schemaVersion }), { code: 'RECEIPT_MALFORMED' })
  }
})

t.test('a record that readers could read differently is of no known schema', async (t) => {
  const text = auditLeaf(1).toString()
  for (const other of [
    text.replace('{', '{ '),
    text.replace('"v":1', '"v":1.0'),
    text.replace('{"d', '{"v":2,"d'),
  ]) {
    t.not(other, text)
    const { findings, records } = await verifyReceipt(
      { ...audit, records: [{ record: other }] },
      { expectedKey },
    )
    t.match(found(findings, 'record'), { result: 'not-checked' })
    t.same(records, [undefined])
  }
})

t.test('what is no receipt is refused with what to do', async (t) => {
  for (const text of ['', '{', '[]', '{"type":"agent-anchor-receipt"}', `"${'x'.repeat(2 ** 21)}"`, '\xff']) {
    t.throws(() => parseReceipt(Buffer.from(text, 'latin1')), { code: 'RECEIPT_MALFORMED' })
  }
  const lone = formatReceipt(audit).replace('start', '\\ud800')
  t.throws(() => parseReceipt(Buffer.from(lone)), { code: 'RECEIPT_MALFORMED', message: /not Unicode/ })
})

t.test('any changed record, proof or anchor fails', async (t) => {
  const [anchor] = audit.anchors
  const record = (text: string) => ({ ...audit, records: [{ record: text }] })
  const text = audit.records[0]!.record
  const changed: Receipt[] = [
    record(text.replace('start', 'stop')),
    record(`${text} `),
    { ...audit, proof: audit.proof.replace('index 1', 'index 3') },
    { ...audit, proof: audit.proof.replace(`\n${checkpoint.size}\n`, '\n7\n') },
    { ...audit, anchors: [{ ...anchor!, size: '4' }] },
    { ...audit, anchors: [{ ...anchor!, root: '00'.repeat(32) }] },
  ]
  for (const [i, forged] of changed.entries()) t.notOk(holds(await findingsOf(forged)), `change ${i}`)
})

t.test(
  'a mutated receipt is refused, fails, or claims nothing as proved that the true one does not',
  async (t) => {
    const receipts = [audit, exchange, batch].map((one) => cosigned(one, witnesses))
    const keys = witnesses.map(({ verifierKey }) => verifierKey)
    const options = { expectedKey, witnesses: { keys } }
    const proved = (findings: readonly Finding[]) =>
      findings.filter(({ result }) => result === 'proved').map(({ check, detail }) => `${check}: ${detail}`)
    const truth = await Promise.all(
      receipts.map(async (one) => new Set(proved(await findingsOf(one, options)))),
    )
    const count = { refused: 0, failed: 0, verified: 0 }
    await fc.assert(
      fc.asyncProperty(mutatedReceipt(receipts.map(formatReceipt)), async ({ file }) => {
        let findings: Finding[]
        try {
          findings = await findingsOf(parseReceipt(file), options)
        } catch (error) {
          count.refused += 1
          return error instanceof AnchorError
        }
        const verdict = verdictOn(findings)
        if (verdict === 'unconfirmed') return false
        count[verdict] += 1
        // White space, a body left out, what is said of an anchor that nobody asked for: or another whole receipt.
        return (
          verdict === 'failed' || truth.some((claims) => proved(findings).every((claim) => claims.has(claim)))
        )
      }),
      { numRuns: 4000 },
    )
    t.comment(`4000 mutated receipts: ${JSON.stringify(count)}`)
    t.ok(count.refused > 300 && count.failed > 300, 'of each kind there were many')
  },
)

t.test('a key that was retired is led to by the log’s own records of its keys', async (t) => {
  const early = checkpoint.note
  const grown = await rotate(dir)
  const anchors = anchorsOf('rpc', reader, early)
  const old = { ...anchored, chains: [{ ...anchors.chains[0]!, anchors: anchored.chains[0]!.anchors }] }
  const receipt = asSent(receiptOf(grown, [1n], old, newKey.verifierKey, [SUCCESSION]))
  t.equal(
    receipt.verifierKey,
    oldKey.verifierKey,
    'the checkpoint that is anchored was signed by the first key',
  )
  const led = await findingsOf(receipt, { expectedKey: newKey.verifierKey })
  t.match(found(led, 'key'), { result: 'proved', detail: /spoke for trees of 6 leaves/ })
  t.equal(verdictOn(led), 'verified')
  t.equal(verdictOn(await findingsOf(receipt, { expectedKey: oldKey.verifierKey })), 'verified')
  t.equal(verdictOn(await findingsOf(receipt, {})), 'unconfirmed')
  const { keyHistory, ...bare } = receipt
  t.equal(found(await findingsOf(bare, { expectedKey: newKey.verifierKey }), 'key')?.result, 'failed')
  const thief = ed25519Signer(ORIGIN, new Uint8Array(32).fill(66))
  t.equal(found(await findingsOf(receipt, { expectedKey: thief.verifierKey }), 'key')?.result, 'failed')

  const changed = [
    { ...keyHistory!, consistency: keyHistory!.consistency.slice(1) },
    { ...keyHistory!, successions: [{ ...keyHistory!.successions[0]!, index: '7' }] },
    { ...keyHistory!, successions: [{ ...keyHistory!.successions[0]!, record: auditLeaf(1).toString() }] },
    { ...keyHistory!, checkpoint: early },
    { ...keyHistory!, checkpoint: keyHistory!.checkpoint.replace('\n10\n', '\n11\n') },
  ]
  for (const [i, history] of changed.entries()) {
    const findings = await findingsOf(
      { ...receipt, keyHistory: history },
      { expectedKey: newKey.verifierKey },
    )
    t.equal(found(findings, 'key')?.result, 'failed', `change ${i}`)
  }

  // Whoever stole the first key after its end makes a tree of as few leaves as it spoke for.
  const forged = receiptOf(await makeLog(t.testdir(), [7, 8, 9].map(auditLeaf)), [1n])
  t.equal(verdictOn(await findingsOf(forged, {})), 'unconfirmed', 'under that key alone it fits together')
  const backed = await findingsOf({ ...forged, keyHistory: keyHistory! }, { expectedKey: newKey.verifierKey })
  t.match(found(backed, 'key'), { result: 'failed', detail: /consistency proof/ })
  t.equal(verdictOn(backed), 'failed')
})
