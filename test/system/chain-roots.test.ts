/** Roots that contradict each other, on the chain or in the ledger, and a chain that takes an anchor back. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { readAnchoredEvent, readHead } from '../../daemon/chain-writer/on-chain.ts'
import { nodeHash, rootOf } from '../../daemon/ledger/merkle.ts'
import { caused, remedied } from '../lab/health.ts'
import { emptyDirectory, startAnvil, until } from './chain-anvil.ts'
import {
  anchored,
  anchoredAt,
  checkpointOf,
  codes,
  development,
  only,
  rootFor,
  sizes,
  start,
  states,
} from './chain-writer-rig.ts'

t.setTimeout(240_000)

t.test('another root for one size on the chain is an alarm that no restart clears', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const honest = { chain: development(anvil.port), stateDir: join(anvil.directory, 'honest') }
  const first = await anchored(t, honest, 5)
  await first.stop()

  const other = { chain: development(anvil.port), stateDir: join(anvil.directory, 'other') }
  const forked = await start(t, other)
  forked.checkpoint(checkpointOf(5, rootFor(500)))
  await until('the alarm is raised', () => codes(forked).includes('chain.equivocation'))
  t.match(forked.state().health[0], { severity: 'error' })
  await forked.stop()
  const again = await start(t, other)
  again.checkpoint(checkpointOf(6))
  await sleep(700)
  t.ok(codes(again).includes('chain.equivocation'))
  t.same(await sizes(anvil, only(first)), [5], 'nothing is anchored over contradicting evidence')
})

t.test('a chain ahead of the ledger is an error, and nothing is sent', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  const first = await anchored(t, setup, 50)
  await first.stop()
  const rolledBack = await start(t, setup)
  rolledBack.checkpoint(checkpointOf(20))
  await until('health says so', () => codes(rolledBack).includes('chain.ledger-behind'))
  t.match(rolledBack.state().health[0], { severity: 'error', remedy: /backup/ })
  t.same(await sizes(anvil, only(rolledBack)), [50])
})

t.test('a ledger that gives two roots for one size is never anchored with the second', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const writer = await start(t, { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') })
  writer.checkpoint(checkpointOf(5))
  writer.checkpoint(checkpointOf(5, rootFor(6)))
  await anchoredAt(writer, 5)
  const { remedy } = await caused(t, states(writer), 'chain.checkpoint-conflict')
  t.match(remedy, /begin a new log \(another `ledger\.origin`\)/)
  t.equal(only(writer).anchored?.root, rootFor(5))
  await writer.stop()
  const anew = await start(t, {
    ...{ chain: development(anvil.port), stateDir: join(anvil.directory, 'new') },
    origin: 'test.invalid/new',
  })
  anew.checkpoint(checkpointOf(1))
  await anchoredAt(anew, 1)
  await remedied(t, states(anew), 'chain.checkpoint-conflict')
})

t.test('CONSISTENT: waits for the proof, uses it, and raises the alarm at one that is wrong', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const leaves = Array.from({ length: 5 }, (_, i) => createHash('sha256').update(`${i}`).digest())
  const root = (n: number) => rootOf(leaves.slice(0, n)).toString('hex')
  const [a, b, c, d, e] = leaves as [Buffer, Buffer, Buffer, Buffer, Buffer]
  const setup = {
    chain: development(anvil.port),
    stateDir: join(anvil.directory, 'chain'),
    policy: 'consistent',
  } as const
  const writer = await start(t, setup)
  writer.checkpoint(checkpointOf(3, root(3)))
  await anchoredAt(writer, 3)
  writer.checkpoint(checkpointOf(4, root(4)))
  await caused(t, states(writer), 'chain.no-consistency-proof')
  // RFC 9162 section 2.1.5: from 3 to 5 leaves.
  const proof = [c, d, nodeHash(a, b), e].map((hash) => hash.toString('hex'))
  writer.checkpoint(checkpointOf(5, root(5)), { from: 3n, proof })
  await anchoredAt(writer, 5)
  await remedied(t, states(writer), 'chain.no-consistency-proof')
  t.same(codes(writer), [])
  writer.checkpoint(checkpointOf(6), { from: 5n, proof })
  await until('the alarm is raised', () => codes(writer).includes('chain.equivocation'))
  t.same(await sizes(anvil, only(writer)), [3, 5])
})

t.test('a reorganisation that drops the anchor ends with the newest checkpoint anchored', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const writer = await start(t, { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') })
  for (const size of [5, 9]) {
    writer.checkpoint(checkpointOf(size))
    await anchoredAt(writer, size)
  }
  const before = only(writer).anchored!
  await anvil.call('anvil_reorg', 1, [])
  await until('it stands in another block', async () => {
    const { anchored, pending } = only(writer)
    return anchored?.size === '9' && !pending && anchored.blockHash !== before.blockHash
  })
  const { contract, logKey } = only(writer)
  t.same(await readHead({ rpc: anvil.url, contract: contract!, logKey }), { size: 9n, root: rootFor(9) })
  await readAnchoredEvent({ rpc: anvil.url, contract: contract!, logKey }, { size: 9n })
})
