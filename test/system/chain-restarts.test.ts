/** A chain-writer that is stopped at the worst moment, or loses its state: nothing is sent twice, and no anchor is lost. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openJournal } from '../../daemon/chain-writer/journal.ts'
import type { Rpc } from '../../daemon/chain-writer/json-rpc.ts'
import { emptyDirectory, startAnvil, until } from './chain-anvil.ts'
import {
  anchored,
  anchoredAt,
  checkpointOf,
  development,
  faulty,
  nonceOf,
  only,
  type Setup,
  sizes,
  start,
  unreachable,
} from './chain-writer-rig.ts'

t.setTimeout(240_000)

/** Anchored at 5 leaves; stopped when the anchor of 6 was signed and persisted, and not sent. */
async function cutBeforeSending(t: Test, setup: Setup): Promise<void> {
  await (await anchored(t, setup, 5)).stop()
  const cut = await start(t, { ...setup, rpc: faulty('eth_sendRawTransaction', unreachable) })
  cut.checkpoint(checkpointOf(6))
  await until('it is signed', () => only(cut).pending?.size === '6')
  await cut.stop()
}

t.test('stopped between persist and send: the same bytes go out after the restart', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  await cutBeforeSending(t, setup)
  const { journal } = await openJournal(setup.stateDir, 'development')
  const [signed] = journal.inFlight!.transactions

  const after = await anchored(t, setup, 6)
  t.equal(only(after).anchored?.transaction, signed?.hash)
  t.same(await sizes(anvil, only(after)), [5, 6])
  t.equal(await nonceOf(anvil, only(after).gatewayAddress), 4, 'deploy, authorise, two anchors')
})

t.test(
  'stopped between persist and send, with a newer checkpoint after: that one takes the nonce',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
    await cutBeforeSending(t, setup)
    const after = await anchored(t, { ...setup, rpc: slowlyFollowing() }, 9)
    t.same(await sizes(anvil, only(after)), [5, 9])
    t.equal(await nonceOf(anvil, only(after).gatewayAddress), 4)
  },
)
/** Lets the checkpoint come before the first look at the journal. */
const slowlyFollowing = () =>
  faulty('eth_chainId', async (call) => {
    await sleep(50)
    return call()
  })

t.test('stopped between send and receipt: nothing is sent twice, the anchor is found', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  const first = await anchored(t, setup, 5)
  await first.stop()
  let sent = 0
  const rpc = faulty('eth_sendRawTransaction', async (call) => {
    sent++
    await call()
    return unreachable()
  })
  const blind = (url: string, signal: AbortSignal): Rpc => {
    const inner = rpc(url, signal)
    return {
      host: inner.host,
      call: (method, params) =>
        method === 'eth_getTransactionReceipt' ? unreachable() : inner.call(method, params),
    }
  }
  const cut = await start(t, { ...setup, rpc: blind })
  cut.checkpoint(checkpointOf(6))
  await until('it is mined', async () => (await nonceOf(anvil, only(first).gatewayAddress)) === 4)
  await cut.stop()
  t.equal(sent, 1)

  const after = await start(t, {
    ...setup,
    rpc: faulty('eth_sendRawTransaction', () => Promise.reject(t.fail('sent'))),
  })
  after.checkpoint(checkpointOf(6))
  await anchoredAt(after, 6)
  t.same(await sizes(anvil, only(after)), [5, 6])
})

t.test('a lost state directory: the anchor is found on the chain, nothing is sent', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const stateDir = join(anvil.directory, 'chain')
  const first = await anchored(t, { chain: development(anvil.port), stateDir }, 5)
  await first.stop()
  rmSync(stateDir, { recursive: true })
  const after = await anchored(t, { chain: development(anvil.port), stateDir }, 5)
  t.same(only(after).anchored, only(first).anchored)
  t.equal(await nonceOf(anvil, only(after).gatewayAddress), 3)
})
