/** The chain-writer: from deployment to anchor, and what an endpoint, an account or a contract keeps it from. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { FACTORY, registryAddress } from '../../daemon/chain-writer/addresses.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { type ChainSpec, ChainWriterState } from '../../daemon/chain-writer/chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import { readAnchoredEvent, readHead } from '../../daemon/chain-writer/on-chain.ts'
import { caused, remedied } from '../lab/health.ts'
import { emptyDirectory, freePort, startAnvil, until } from './chain-anvil.ts'
import {
  anchored,
  anchoredAt,
  anchoring,
  checkpointOf,
  codes,
  development,
  key,
  nonceOf,
  only,
  rootFor,
  sizes,
  start,
  states,
  verifierKey,
} from './chain-writer-rig.ts'

t.setTimeout(240_000)

t.test(
  'as a thread: deploys, anchors at once, goes on anchoring, and can be verified by anybody',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const stateDir = join(anvil.directory, 'chain')
    const worker = new Worker(new URL('../../daemon/chain-writer/thread.ts', import.meta.url), {
      workerData: {
        chains: [development(anvil.port)],
        key,
        stateDir,
        origin: 'test.invalid/log',
        verifierKey,
        anchoring,
      },
    })
    t.teardown(() => worker.terminate())
    let state: ChainWriterState | undefined
    worker.on('message', (message) => {
      state = ChainWriterState.parse(message)
    })
    const send = (size: number) =>
      worker.postMessage({
        type: 'checkpoint',
        size: String(size),
        root: rootFor(size),
        note: `note of ${size}`,
      })
    const anchored = (size: number) =>
      until(
        `${size} leaves`,
        () => state?.chains[0]?.anchored?.size === String(size) && !state.chains[0].pending,
      )

    const began = performance.now()
    send(3)
    await anchored(3)
    t.comment(`deployed, authorised, anchored after ${Math.round(performance.now() - began)} ms`)
    send(10)
    send(11)
    await anchored(11)
    send(2500)
    await anchored(2500)

    const chain = state!.chains[0]!
    t.match(chain, {
      name: 'development',
      label: 'development chain: no independent evidence',
      chainId: DEVELOPMENT_CHAIN_ID,
      contract: registryAddress,
      head: { size: '2500', root: rootFor(2500) },
      anchored: { size: '2500', root: rootFor(2500) },
      health: [],
    })
    const where = { rpc: anvil.url, contract: registryAddress, logKey: chain.logKey }
    t.same(await readHead(where), { size: 2500n, root: rootFor(2500) })
    t.same(await sizes(anvil, chain), [3, 11, 2500])
    const receipt = await anvil.call('eth_getTransactionReceipt', chain.anchored!.transaction)
    t.comment(`gas of an anchor: ${Number((receipt as { gasUsed: string }).gasUsed)}`)

    const [kept] = readAnchors(stateDir).chains
    t.same(
      kept?.anchors.map(({ size, root, note }) => ({ size, root, note })),
      [3, 11, 2500].map((size) => ({
        size: String(size),
        root: rootFor(size),
        note: `note of ${size}`,
      })),
    )
    t.equal(kept?.label, 'development chain: no independent evidence')
    const { transaction } = kept!.anchors[1]!
    for (const sought of [{ size: 11n }, { size: 11n, transaction }]) {
      t.match(await readAnchoredEvent(where, sought), {
        size: 11n,
        root: rootFor(11),
        previousSize: 3n,
        transaction,
      })
    }
    await t.rejects(readAnchoredEvent(where, { size: 10n }), { code: 'NOT_ANCHORED' })
    await t.rejects(readAnchoredEvent(where, { size: 3n, transaction }), { code: 'NOT_ANCHORED' })
    await t.rejects(readAnchoredEvent({ ...where, chainId: 1 }, { size: 11n }), { code: 'WRONG_CHAIN' })
    await t.rejects(readHead({ ...where, contract: `0x${'01'.repeat(20)}` }), { code: 'NOT_ANCHORED' })

    const exit = once(worker, 'exit')
    worker.postMessage({ type: 'stop' })
    t.same(await exit, [0])
  },
)

t.test('a message that makes no sense ends the thread with a typed error, not the process', async (t) => {
  const workerData = { chains: [], key, stateDir: emptyDirectory(t), origin: 'x', verifierKey, anchoring }
  const thread = (data: unknown) =>
    new Worker(new URL('../../daemon/chain-writer/thread.ts', import.meta.url), { workerData: data })
  const worker = thread(workerData)
  await once(worker, 'message')
  worker.postMessage({ type: 'checkpoint', size: '-1', root: 'zz', note: '' })
  t.match((await once(worker, 'error'))[0], { code: 'BAD_MESSAGE' })
  t.match((await once(thread({ ...workerData, key: Buffer.alloc(31) }), 'error'))[0], { code: 'BAD_MESSAGE' })
})

t.test('a chain that is down for a while costs one anchor: the newest', async (t) => {
  const directory = emptyDirectory(t)
  const port = await freePort()
  const writer = await start(t, { chain: development(port), stateDir: join(directory, 'chain') })
  for (let size = 1; size <= 40; size++) {
    writer.checkpoint(checkpointOf(size))
    await sleep(10)
  }
  t.same(codes(writer), [], 'a chain that is just starting is no alarm')
  await until('health says so', () => codes(writer).includes('chain.rpc-unreachable'))
  t.match(writer.state().health[0], { severity: 'warning', remedy: /catches up/ })
  const anvil = await startAnvil(t, directory, port)
  await anchoredAt(writer, 40)
  t.same(await sizes(anvil, only(writer)), [40])
  t.same(codes(writer), [])

  // And between two anchors.
  await anvil.kill('SIGTERM')
  for (let size = 41; size <= 60; size++) writer.checkpoint(checkpointOf(size))
  await sleep(500)
  const again = await startAnvil(t, directory, port)
  await anchoredAt(writer, 60)
  t.same(await sizes(again, only(writer)), [40, 60])
})

t.test(
  'a chain without the deployment factory gets a plain contract, found again after a restart',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    await anvil.call('anvil_setCode', FACTORY, '0x')
    const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
    const first = await anchored(t, setup, 5)
    await first.stop()
    const after = await anchored(t, setup, 7)
    t.equal(only(after).contract, only(first).contract)
    t.same(await sizes(anvil, only(after)), [5, 7])
  },
)

t.test('an endpoint that answers garbage is a state of health, and nothing else', async (t) => {
  const server = createServer((request, response) => {
    request.resume()
    response.end('<html>It works!</html>')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const writer = await start(t, { chain: development(port), stateDir: emptyDirectory(t) })
  for (let size = 1; size < 1000; size++) writer.checkpoint(checkpointOf(size))
  await until('health says so', () => codes(writer).includes('chain.rpc-garbage'))
  t.match(writer.state().health[0], { severity: 'warning', title: /^development: / })
})

t.test('an endpoint of another chain gets no transaction', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const chain: ChainSpec = { name: 'base', kind: 'rpc', chainId: 8453, rpc: [anvil.url] }
  const writer = await start(t, { chain, stateDir: join(anvil.directory, 'chain') })
  writer.checkpoint(checkpointOf(5))
  await until('health says so', () => codes(writer).includes('chain.wrong-chain'))
  t.equal(await nonceOf(anvil, only(writer).gatewayAddress), 0)
  t.equal(only(writer).pending, undefined)
})

t.test(
  'a real chain needs money: health names the account, and anchoring goes on once it is there',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const chain: ChainSpec = { name: 'real', kind: 'rpc', chainId: DEVELOPMENT_CHAIN_ID, rpc: [anvil.url] }
    const writer = await start(t, { chain, stateDir: join(anvil.directory, 'chain') })
    writer.checkpoint(checkpointOf(5))
    await until('health says so', () => codes(writer).includes('chain.unfunded'))
    const { gatewayAddress, label } = only(writer)
    t.equal(label, undefined)
    t.ok(writer.state().health[0]?.remedy.includes(gatewayAddress))
    await anvil.call('anvil_setBalance', gatewayAddress, '0xde0b6b3a7640000')
    await anchoredAt(writer, 5)
    t.same(codes(writer), [])
  },
)

t.test('a configured address without our contract gets nothing', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const contract = FACTORY
  const chain: ChainSpec = {
    name: 'real',
    kind: 'rpc',
    chainId: DEVELOPMENT_CHAIN_ID,
    rpc: [anvil.url],
    contract,
  }
  const stateDir = join(anvil.directory, 'chain')
  const writer = await start(t, { chain, stateDir })
  writer.checkpoint(checkpointOf(5))
  const { remedy } = await caused(t, states(writer), 'chain.wrong-contract')
  t.match(remedy, 'leave it out to have one deployed')
  const { gatewayAddress } = only(writer)
  t.equal(await nonceOf(anvil, gatewayAddress), 0)
  await writer.stop()
  await anvil.call('anvil_setBalance', gatewayAddress, '0xde0b6b3a7640000')
  const { contract: _, ...corrected } = chain
  const after = await anchored(t, { chain: corrected, stateDir }, 5)
  await remedied(t, states(after), 'chain.wrong-contract')
})
