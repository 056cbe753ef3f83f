/**
 * A chain and its endpoints do what they please; the lane ends with the newest checkpoint final, or says in its
 * health why not, and nothing it ever signs contradicts itself.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FACTORY } from '../../daemon/chain-writer/addresses.ts'
import { anchoredTopics } from '../../daemon/chain-writer/registry.ts'
import { caused, remedied } from '../lab/health.ts'
import { type Anvil, emptyDirectory, startAnvil, until } from './chain-anvil.ts'
import { eventsOf, freshKey, inOrder, LIMITS, rootsSigned, startLane } from './chain-lane.ts'
import {
  answer,
  cut,
  cutAfter,
  type Fault,
  GARBAGE,
  hang,
  only,
  type RpcProxy,
  refusal,
  startRpcProxy,
} from './rpc-proxy.ts'

t.setTimeout(240_000)
// The teardown of what all tests share comes last.
const anvil = await startAnvil(t, emptyDirectory(t))
const SEND = 'eth_sendRawTransaction'
const RECEIPT = 'eth_getTransactionReceipt'
const honest = (of: Anvil = anvil) => startRpcProxy(t, () => of.url)
const has = (codes: () => string[], code: string) =>
  until(`health says ${code}`, () => codes().includes(code))

t.test('the chain stops for a minute: nobody waits, health says so, and one anchor catches up', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(3)
  await lane.anchored(3)
  process.kill(anvil.pid, 'SIGSTOP')
  let size = 3
  const took: number[] = []
  for (let second = 0; second < 60; second++) {
    const before = performance.now()
    lane.checkpoint(++size)
    took.push(performance.now() - before)
    lane.skew(1_000)
    await sleep(20)
  }
  await caused(t, lane.states, 'chain.rpc-unreachable')
  await caused(t, lane.states, 'chain.behind')
  process.kill(anvil.pid, 'SIGCONT')
  await lane.final(63)
  await remedied(t, lane.states, 'chain.rpc-unreachable')
  await remedied(t, lane.states, 'chain.behind')
  t.same(
    (await eventsOf(anvil, lane)).map((event) => Number(event.size)),
    [3, 63],
  )
  await until('it is healthy', () => lane.codes().length === 0)
  // One that waited for the chain would show in each; a single one may have lost its processor to somebody else.
  const median = took.sort((a, b) => a - b)[took.length / 2] ?? Number.NaN
  t.ok(median < 50, 'handing over a checkpoint never waits')
  await inOrder(t, anvil, lane, [endpoint], 63)
})

t.test('five blocks are reorganised away, with the contract and without', async (t) => {
  for (const blocksBetween of [0, 10]) {
    const directory = emptyDirectory(t)
    const own = await startAnvil(t, directory)
    const endpoint = await honest(own)
    const lane = await startLane(t, own, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)
    await own.call('anvil_mine', `0x${blocksBetween.toString(16)}`)
    for (const size of [5, 9]) {
      lane.checkpoint(size)
      await lane.anchored(size)
    }
    const before = lane.state().anchored!
    await own.call('anvil_reorg', 5, [])
    await until('the anchor stands in another block', () => {
      const { anchored, pending } = lane.state()
      return anchored?.size === '9' && !pending && anchored.blockHash !== before.blockHash
    })
    await lane.final(9)
    await inOrder(t, own, lane, [endpoint], 9)
  }
})

t.test('the chain restarts empty: anchored again, and it is an error that anchors were lost', async (t) => {
  const directory = emptyDirectory(t)
  const first = await startAnvil(t, directory)
  const endpoint = await honest(first)
  const key = freshKey()
  const lane = await startLane(t, first, { endpoints: [endpoint], key })
  lane.checkpoint(7)
  await lane.final(7)
  await first.kill('SIGKILL')
  const empty = await startAnvil(t, emptyDirectory(t), first.port)
  const { remedy } = await caused(t, lane.states, 'chain.unfunded')
  t.match(remedy, lane.state().gatewayAddress)
  await empty.call('anvil_setBalance', lane.state().gatewayAddress, '0x8ac7230489e80000')
  lane.checkpoint(8)
  await lane.anchored(8)
  await remedied(t, lane.states, 'chain.unfunded')
  await empty.call('anvil_mine', '0x50')
  await until('it is final', () => lane.state().anchored?.finality === 'finalized')
  t.match(lane.writer.state().health, [{ code: 'chain.lost-anchors', severity: 'error' }])
  const lost = await caused(t, lane.states, 'chain.lost-anchors')
  t.match(lost.remedy, /restart the gateway/)
  await inOrder(t, empty, lane, [endpoint], 8)
  await lane.stop()
  const { directory: kept } = lane
  const again = await startLane(t, empty, { endpoints: [endpoint], key, directory: kept })
  again.checkpoint(9)
  await again.anchored(9)
  await remedied(t, again.states, 'chain.lost-anchors')
})

t.test('fees rise a hundredfold: replaced with more, then waits under the cap, then goes on', async (t) => {
  const own = await startAnvil(t, emptyDirectory(t))
  const endpoint = await honest(own)
  const lane = await startLane(t, own, { endpoints: [endpoint], fees: { maxGwei: '400' } })
  lane.checkpoint(2)
  await lane.anchored(2)
  await own.call('evm_setAutomine', false)
  lane.checkpoint(4)
  await until('it is sent', () => lane.state().pending?.size === '4')
  const mineAt = async (gwei: bigint) => {
    await own.call('anvil_setNextBlockBaseFeePerGas', `0x${(gwei * 10n ** 9n).toString(16)}`)
    await own.call('anvil_mine', '0x1')
  }
  const base = async () =>
    Number(
      ((await own.call('eth_getBlockByNumber', 'latest', false)) as { baseFeePerGas: string }).baseFeePerGas,
    )
  const hundredfold = BigInt(Math.ceil((await base()) / 1e9)) * 100n
  t.ok(hundredfold <= 200n)
  await mineAt(hundredfold)
  lane.checkpoint(6)
  // Blocks come meanwhile; a chain that stands still isn't offered more.
  await until('the newest checkpoint takes its place', async () => {
    await mineAt(hundredfold)
    return lane.state().pending?.size === '6' || lane.state().anchored?.size === '6'
  })
  const [before, after] = endpoint.sent
    .filter(({ nonce }) => nonce === endpoint.sent.at(-1)?.nonce)
    .map(({ transaction }) => transaction)
    .slice(-2) as [
    (typeof endpoint.sent)[number]['transaction'],
    (typeof endpoint.sent)[number]['transaction'],
  ]
  t.ok(after.maxFeePerGas! * 1000n >= before.maxFeePerGas! * 1125n, 'an eighth more for gas')
  t.ok(after.maxPriorityFeePerGas! * 1000n >= before.maxPriorityFeePerGas! * 1125n, 'an eighth more of a tip')
  await until('it is mined', async () => {
    await mineAt(hundredfold)
    return lane.state().anchored?.size === '6'
  })

  await mineAt(500n)
  lane.checkpoint(9)
  await until('health says so', async () => {
    await mineAt(500n)
    return lane.codes().includes('chain.fees-too-high')
  })
  const dear = await caused(t, lane.states, 'chain.fees-too-high')
  t.match(dear, { severity: 'warning', remedy: /Nothing is lost/ })
  await own.call('evm_setAutomine', true)
  await mineAt(1n)
  await lane.final(9)
  await remedied(t, lane.states, 'chain.fees-too-high')
  t.same(
    (await eventsOf(own, lane)).map(({ size }) => Number(size)),
    [2, 6, 9],
  )
  await inOrder(t, own, lane, [endpoint], 9)
})

t.test('over the day budget: queued, said until when, and anchored when the next day begins', async (t) => {
  const endpoint = await honest()
  const key = freshKey()
  const poor = await startLane(t, anvil, { endpoints: [endpoint], key })
  poor.checkpoint(2)
  await poor.anchored(2)
  const spent = BigInt(poor.state().funds!.spentToday)
  t.ok(spent > 0n)
  await poor.stop()
  // What is left pays for no anchor; what a whole day gives pays for many.
  const maxPerDay = (Number(spent + 1000n) / 1e18).toFixed(18)
  const { directory } = poor
  const lane = await startLane(t, anvil, { endpoints: [endpoint], key, directory, fees: { maxPerDay } })
  lane.checkpoint(4)
  const queued = await caused(t, lane.states, 'chain.over-budget')
  const midnight = new Date((Math.floor(Date.now() / 86_400_000) + 1) * 86_400_000).toISOString()
  t.match(queued, { severity: 'warning', title: new RegExp(`waits until ${midnight}`) })
  t.equal(lane.state().funds?.spentToday, spent.toString(), 'what was spent is known after a restart')
  lane.checkpoint(5)
  await sleep(300)
  t.equal(lane.state().anchored?.size, '2')
  lane.skew(86_400_000)
  await lane.anchored(5)
  await remedied(t, lane.states, 'chain.over-budget')
  t.ok(BigInt(lane.state().funds!.spentToday) < spent, 'another day, another account')
  await inOrder(t, anvil, lane, [endpoint], 5)
})

t.test("the parent chain's fee counts: in what an anchor may cost, and in the day's budget", async (t) => {
  const own = await startAnvil(t, emptyDirectory(t))
  const endpoint = await honest(own)
  // Stands where OP Stack's GasPriceOracle does, and answers one number to everything.
  const charge = (wei: bigint) =>
    own.call(
      'anvil_setCode',
      '0x420000000000000000000000000000000000000F',
      `0x7f${wei.toString(16).padStart(64, '0')}60005260206000f3`,
    )
  await charge(10n ** 15n)
  const fees = { model: 'op-stack' as const, maxPerAnchor: '0.01', maxPerDay: '0.1' }
  const lane = await startLane(t, own, { endpoints: [endpoint], fees })
  lane.checkpoint(2)
  await lane.anchored(2)
  // This node's receipts have no l1Fee: what was reckoned counts, a quarter above the oracle's word.
  const after = BigInt(lane.state().funds!.spentToday)
  const transactions = BigInt(endpoint.sent.length)
  t.ok(after > (transactions * 125n * 10n ** 15n) / 100n, `${after} wei for ${transactions} transactions`)
  await charge(10n ** 16n)
  lane.checkpoint(4)
  await has(lane.codes, 'chain.fees-too-high')
  t.match(lane.writer.state().health[0], { title: /an anchor would cost 0\.0125\d*, the cap is 0\.01/ })
  await charge(1n)
  await lane.anchored(4)
  await inOrder(t, own, lane, [endpoint], 4)
})

t.test('a chain that makes something else of the contract is paid for twice and no more', async (t) => {
  const own = await startAnvil(t, emptyDirectory(t))
  // A factory that takes the deployment and makes nothing.
  await own.call('anvil_setCode', FACTORY, '0x00')
  const endpoint = await honest(own)
  const lane = await startLane(t, own, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await has(lane.codes, 'chain.wrong-contract')
  await sleep(500)
  t.equal(endpoint.sent.length, 2)
  t.match(lane.writer.state().health[0], { title: /2 deployments were mined/ })
})

t.test(
  'transactions are dropped, by the endpoint or out of the pool: sent again until one is mined',
  async (t) => {
    const endpoint = await honest()
    const lane = await startLane(t, anvil, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)
    let swallowed = 0
    endpoint.fault = only([SEND], async ({ question, forward }) =>
      ++swallowed % 4 === 0 ? forward() : answer(question, endpoint.sent.at(-1)!.hash),
    )
    for (const size of [4, 6, 8]) {
      lane.checkpoint(size)
      await lane.anchored(size)
    }
    t.ok(swallowed >= 12)
    endpoint.fault = undefined
    await anvil.call('evm_setAutomine', false)
    lane.checkpoint(9)
    await until('it is sent', () => lane.state().pending?.size === '9')
    await anvil.call('anvil_dropTransaction', lane.state().pending!.transaction)
    await anvil.call('evm_setAutomine', true)
    await lane.final(9)
    await inOrder(t, anvil, lane, [endpoint], 9)
  },
)

t.test('transactions are sent twice, and answers to sending are lost: one anchor each', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  let n = 0
  endpoint.fault = only([SEND], async (exchange) => {
    if (++n % 2 === 0) return cutAfter(exchange)
    await exchange.forward()
    return exchange.forward()
  })
  for (const size of [2, 4, 6, 8]) {
    lane.checkpoint(size)
    await lane.anchored(size)
  }
  t.same(
    (await eventsOf(anvil, lane)).map(({ size }) => Number(size)),
    [2, 4, 6, 8],
  )
  await inOrder(t, anvil, lane, [endpoint], 8)
})

t.test('garbage of every kind, silence and cut connections: a state of health, and no harm', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await lane.anchored(2)
  let size = 2
  for (const [n, fault] of [...GARBAGE, hang, cut, cutAfter].entries()) {
    endpoint.fault = fault
    lane.checkpoint(++size)
    const asked = endpoint.asked.length
    await until(`fault ${n} was met`, () => endpoint.asked.length >= asked + 2)
  }
  await until('health says so', () => lane.codes().some((code) => code.startsWith('chain.rpc-')))
  t.equal(lane.state().anchored?.size, '2')
  endpoint.fault = undefined
  await lane.final(size)
  await inOrder(t, anvil, lane, [endpoint], size)
})

t.test('garbage about single things: each question is answered with nonsense in turn', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(1)
  await lane.anchored(1)
  const methods = [...new Set(endpoint.asked)]
  t.ok(methods.length >= 9, methods.join(' '))
  let size = 1
  for (const method of methods) {
    let wrong = 0
    endpoint.fault = only([method], (exchange) => {
      const fault = GARBAGE[wrong++ % GARBAGE.length]!
      return wrong <= 2 ? fault(exchange) : exchange.forward()
    })
    lane.checkpoint(++size)
    await lane.anchored(size)
  }
  endpoint.fault = undefined
  await lane.final(size)
  await inOrder(t, anvil, lane, [endpoint], size)
})

t.test('a rate limit is kept: left alone as long as it asks, then caught up', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await lane.anchored(2)
  endpoint.fault = async ({ response }) => {
    response.writeHead(429, { 'retry-after': '2' }).end('slow down')
    return undefined
  }
  lane.checkpoint(3)
  await caused(t, lane.states, 'chain.rpc-refused')
  const asked = endpoint.asked.length
  await sleep(1_000)
  t.equal(endpoint.asked.length, asked)
  endpoint.fault = async ({ question }) => refusal(question, -32005, 'daily request count exceeded')
  await until('it asks again', () => endpoint.asked.length > asked)
  endpoint.fault = undefined
  await lane.final(3)
  await remedied(t, lane.states, 'chain.rpc-refused')
  await inOrder(t, anvil, lane, [endpoint], 3)
})

t.test(
  'an endpoint of another chain gets nothing; when it is the right one again, all goes on',
  async (t) => {
    const endpoint = await honest()
    const lane = await startLane(t, anvil, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)
    const sent = endpoint.sent.length
    endpoint.fault = only(['eth_chainId'], async ({ question }) => answer(question, '0x1'))
    lane.checkpoint(4)
    await caused(t, lane.states, 'chain.wrong-chain')
    t.equal(endpoint.sent.length, sent)
    endpoint.fault = undefined
    await lane.final(4)
    await remedied(t, lane.states, 'chain.wrong-chain')
    await inOrder(t, anvil, lane, [endpoint], 4)
  },
)

t.test(
  'a wrong nonce, for a moment or for long: nothing is lost, nothing stays stuck behind it',
  async (t) => {
    const endpoint = await honest()
    const lane = await startLane(t, anvil, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)
    const lie = (by: number): Fault =>
      only(['eth_getTransactionCount'], async ({ question, forward }) => {
        const { result } = await forward()
        return answer(question, `0x${(Number(result) + by).toString(16)}`)
      })
    const sent = endpoint.sent.length
    endpoint.fault = lie(3)
    lane.checkpoint(4)
    await caused(t, lane.states, 'chain.unconfirmed')
    t.equal(endpoint.sent.length, sent, 'not signed for a nonce that nobody expects')
    await until('it goes on saying so, and is believed', () => endpoint.sent.length > sent)
    t.equal(endpoint.sent.at(-1)?.nonce, endpoint.sent[sent - 1]!.nonce + 4)
    endpoint.fault = undefined
    for (const size of [5, 6, 7, 8, 9, 10]) {
      lane.checkpoint(size)
      await lane.anchored(size)
    }
    await remedied(t, lane.states, 'chain.unconfirmed')
    endpoint.fault = lie(-1)
    lane.checkpoint(12)
    await sleep(2 * LIMITS.patienceMs)
    endpoint.fault = undefined
    await lane.final(12)
    await inOrder(t, anvil, lane, [endpoint], 12)
  },
)

/** Says that a transaction was mined which never reached the node, with the event that it would have made. */
const inventedReceipt =
  (endpoint: RpcProxy): Fault =>
  async ({ question, forward }) => {
    if (question.method === SEND) return answer(question, endpoint.sent.at(-1)!.hash)
    if (question.method !== RECEIPT) return forward()
    const { hash, transaction } = endpoint.sent.at(-1)!
    if (hash !== question.params[0]) return forward()
    const block = (await anvil.call('eth_getBlockByNumber', 'latest', false)) as {
      number: string
      hash: string
    }
    const place = { blockNumber: block.number, blockHash: block.hash, transactionHash: hash }
    const [logKey, size, root] = transaction.data.slice(10).match(/.{64}/g)!
    const [topic] = anchoredTopics(`0x${'0'.repeat(64)}`)
    const log = {
      address: transaction.to,
      topics: [topic, `0x${logKey}`, `0x${size}`],
      data: `0x${root}${'0'.repeat(128)}`,
      ...place,
    }
    return answer(question, { ...place, status: '0x1', gasUsed: '0x1', logs: [log] })
  }
t.test('receipts of transactions that were never mined: the head tells, and it is anchored', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await lane.anchored(2)
  endpoint.fault = inventedReceipt(endpoint)
  lane.checkpoint(4)
  const absurd = await caused(t, lane.states, 'chain.rpc-garbage')
  t.match(absurd, { title: /a receipt for 4 leaves, and the contract there only 2/ })
  t.equal(lane.state().anchored?.size, '2')
  endpoint.fault = undefined
  await lane.final(4)
  await remedied(t, lane.states, 'chain.rpc-garbage')
  await inOrder(t, anvil, lane, [endpoint], 4)
})

t.test('receipts of other transactions, or of failures that were none', async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await lane.anchored(2)
  const foreign = lane.state().anchored!.transaction
  const faults: Fault[] = [
    async ({ question }) => answer(question, await anvil.call(RECEIPT, foreign)),
    async ({ question, forward }) => {
      const { result } = await forward()
      return answer(question, result ? { ...(result as object), status: '0x0', logs: [] } : null)
    },
    async ({ question, forward }) => {
      const { result } = await forward()
      return answer(question, result ? { ...(result as object), blockHash: `0x${'12'.repeat(32)}` } : null)
    },
    async ({ question }) => answer(question, null),
  ]
  let size = 2
  for (const fault of faults) {
    endpoint.fault = only([RECEIPT], fault)
    lane.checkpoint(++size)
    const asked = endpoint.asked.length
    await until('it asked for receipts', () => endpoint.asked.slice(asked).includes(RECEIPT))
    await sleep(2 * LIMITS.patienceMs)
    endpoint.fault = undefined
    await lane.anchored(size)
  }
  await lane.final(size)
  await inOrder(t, anvil, lane, [endpoint], size)
})

t.test(
  'a chain without new blocks is not offered more and more: health says that it stands still',
  async (t) => {
    const own = await startAnvil(t, emptyDirectory(t))
    const endpoint = await honest(own)
    const lane = await startLane(t, own, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)
    await own.call('evm_setAutomine', false)
    lane.skew(120_000)
    lane.checkpoint(3)
    await caused(t, lane.states, 'chain.stalled')
    const hashes = () => new Set(endpoint.sent.map(({ hash }) => hash)).size
    const before = hashes()
    await sleep(2 * LIMITS.replaceMs)
    t.equal(hashes(), before)
    await own.call('evm_setAutomine', true)
    await own.call('anvil_mine', '0x1')
    await lane.final(3)
    await remedied(t, lane.states, 'chain.stalled')
    await inOrder(t, own, lane, [endpoint], 3)
  },
)

t.test('of two endpoints one is dead, lags or lies: the other stands in', async (t) => {
  const [bad, good] = [await honest(), await honest()]
  const lane = await startLane(t, anvil, { endpoints: [bad, good] })
  lane.checkpoint(2)
  await lane.final(2)
  t.equal(readConfirmation(lane), good.host, 'two say that it is final')
  let size = 2
  const old = new Map<string, unknown>()
  for (const question of ['eth_call', 'eth_getTransactionCount']) old.set(question, undefined)
  const frozen: Fault = async ({ question, forward }) => {
    if (question.method === RECEIPT) return answer(question, null)
    if (!old.has(question.method)) return forward()
    const key = JSON.stringify([question.method, question.params])
    if (!old.has(key)) old.set(key, (await forward()).result)
    return answer(question, old.get(key))
  }
  const faults: Fault[] = [
    hang,
    cut,
    ...GARBAGE,
    only(['eth_chainId'], async ({ question }) => answer(question, '0x1')),
    frozen,
    inventedReceipt(bad),
    only([SEND], async ({ question }) => answer(question, bad.sent.at(-1)!.hash)),
  ]
  for (const [n, fault] of faults.entries()) {
    bad.fault = fault
    lane.checkpoint(++size)
    await lane.anchored(size)
    t.pass(`fault ${n}`)
    bad.fault = undefined
    // So that the endpoint has rested and is the first choice again.
    lane.skew(301_000)
  }
  await lane.final(size)
  await inOrder(t, anvil, lane, [bad, good], size)
})
const readConfirmation = (lane: Awaited<ReturnType<typeof startLane>>) => lane.state().anchored?.confirmedBy

t.test('one endpoint alone makes nothing final where two are configured', async (t) => {
  const [first, second] = [await honest(), await honest()]
  const lane = await startLane(t, anvil, { endpoints: [first, second] })
  const faults: Fault[] = [
    only([RECEIPT], async ({ question }) => answer(question, null)),
    only(['eth_getBlockByNumber'], async ({ question, forward }) => {
      const { result } = await forward()
      return answer(question, result ? { ...(result as object), hash: `0x${'34'.repeat(32)}` } : null)
    }),
    cut,
  ]
  let size = 0
  for (const fault of faults) {
    second.fault = undefined
    lane.skew(301_000)
    lane.checkpoint(++size)
    await lane.anchored(size)
    second.fault = fault
    await anvil.call('anvil_mine', '0x50')
    await caused(t, lane.states, 'chain.not-final')
    t.not(lane.state().anchored?.finality, 'finalized')
  }
  second.fault = undefined
  lane.skew(301_000)
  await lane.final(size)
  await remedied(t, lane.states, 'chain.not-final')
  await inOrder(t, anvil, lane, [first, second], size)
})

t.test('one endpoint alone raises no alarm where two are configured; both do, and it stays', async (t) => {
  const [first, second] = [await honest(), await honest()]
  const key = freshKey()
  const lane = await startLane(t, anvil, { endpoints: [first, second], key })
  lane.checkpoint(5)
  await lane.anchored(5)
  // The head's two words: size and root.
  const otherRoot = only(['eth_call'], async (exchange) => {
    const { result } = await exchange.forward()
    const text = String(result)
    const isHead = text.length === 2 + 128 && BigInt(`0x${text.slice(2, 66)}`) === 5n
    return answer(exchange.question, isHead ? text.slice(0, 66) + 'ee'.repeat(32) : text)
  })
  first.fault = otherRoot
  await has(lane.codes, 'chain.unconfirmed').catch(() => has(lane.codes, 'chain.endpoint-unwell'))
  t.notOk(lane.codes().includes('chain.equivocation'))
  lane.checkpoint(6)
  await lane.anchored(6)
  first.fault = undefined
  lane.skew(301_000)

  const forged = only(['eth_call'], async (exchange) => {
    const { result } = await exchange.forward()
    const text = String(result)
    const isHead = text.length === 2 + 128 && BigInt(`0x${text.slice(2, 66)}`) === 6n
    return answer(exchange.question, isHead ? text.slice(0, 66) + 'ee'.repeat(32) : text)
  })
  first.fault = forged
  second.fault = forged
  const alarm = await caused(t, lane.states, 'chain.equivocation')
  t.match(alarm.remedy, /stop the gateway, remove .*lab\.alarm\.json, start it/)
  first.fault = undefined
  second.fault = undefined
  await lane.stop()
  const file = join(lane.directory, 'lab.alarm.json')
  const { directory } = lane
  for (const damage of [undefined, '', '{"v":1}']) {
    if (damage !== undefined) writeFileSync(file, damage)
    const again = await startLane(t, anvil, { endpoints: [first, second], key, directory })
    again.checkpoint(7)
    await until('the chain was looked at', () => again.state().head)
    await sleep(300)
    t.match(again.writer.state().health, [{ code: 'chain.equivocation', severity: 'error', remedy: file }])
    t.equal(again.state().head?.size, '6', 'nothing is anchored over it')
    await again.stop()
  }
  rmSync(file)
  const cleared = await startLane(t, anvil, { endpoints: [first, second], key, directory })
  cleared.checkpoint(7)
  await cleared.final(7)
  await remedied(t, cleared.states, 'chain.equivocation')
  await until('it is healthy', () => cleared.codes().length === 0)
})

t.test('a ledger that forks after a transaction was signed: the second root is never sent', async (t) => {
  const endpoint = await honest()
  const key = freshKey()
  const first = await startLane(t, anvil, { endpoints: [endpoint], key })
  first.checkpoint(5)
  await first.anchored(5)
  endpoint.fault = only([SEND], async ({ question }) => answer(question, endpoint.sent.at(-1)!.hash))
  first.checkpoint(6)
  await until('it is signed', () => first.state().pending?.size === '6')
  await first.stop()
  const { directory } = first
  const forked = await startLane(t, anvil, { endpoints: [endpoint], key, directory })
  endpoint.fault = undefined
  forked.checkpoint(6, 'forked')
  await has(forked.codes, 'chain.equivocation')
  await sleep(300)
  t.same(
    [...rootsSigned([endpoint]).values()].filter((roots) => roots.size > 1),
    [],
  )
  await forked.stop()

  rmSync(join(directory, 'lab.alarm.json'))
  const rolledBack = await startLane(t, anvil, { endpoints: [endpoint], key, directory })
  rolledBack.checkpoint(4)
  const behind = await caused(t, rolledBack.states, 'chain.ledger-behind')
  t.match(behind.remedy, /Start a new log \(another `ledger\.origin`\)/)
  await rolledBack.stop()
  const anew = await startLane(t, anvil, {
    endpoints: [endpoint],
    key,
    directory,
    origin: 'test.invalid/new',
  })
  anew.checkpoint(1)
  await anew.anchored(1)
  await remedied(t, anew.states, 'chain.ledger-behind')
})

t.test("the gateway's account runs low: said before it is empty, and not once it is filled", async (t) => {
  const endpoint = await honest()
  const lane = await startLane(t, anvil, { endpoints: [endpoint] })
  lane.checkpoint(2)
  await lane.anchored(2)
  const price = BigInt(lane.state().funds!.lastAnchor!)
  await anvil.call('anvil_setBalance', lane.state().gatewayAddress, `0x${(price * 5n).toString(16)}`)
  const low = await caused(t, lane.states, 'chain.low-funds')
  t.match(low.title, /enough for about 5 anchors/)
  t.match(low.remedy, /^Send some/)
  await anvil.call('anvil_setBalance', lane.state().gatewayAddress, `0x${(price * 500n).toString(16)}`)
  await remedied(t, lane.states, 'chain.low-funds')
})

t.test(
  'a contract that refuses, a disk that does, a fault of ours: each says what it is, and passes',
  async (t) => {
    const endpoint = await honest()
    const lane = await startLane(t, anvil, { endpoints: [endpoint] })
    lane.checkpoint(2)
    await lane.anchored(2)

    endpoint.fault = only(['eth_estimateGas'], async ({ question }) =>
      refusal(question, 3, 'execution reverted'),
    )
    lane.checkpoint(3)
    const refused = await caused(t, lane.states, 'chain.reverted')
    t.match(refused.remedy, /looks at the chain again/)
    endpoint.fault = undefined
    await lane.anchored(3)
    await remedied(t, lane.states, 'chain.reverted')

    // Root writes to any directory, but not into one that is none.
    renameSync(lane.directory, `${lane.directory}.away`)
    writeFileSync(lane.directory, '')
    lane.checkpoint(4)
    const unwritten = await caused(t, lane.states, 'chain.state')
    t.match(unwritten.title, 'cannot write')
    rmSync(lane.directory)
    renameSync(`${lane.directory}.away`, lane.directory)
    await lane.anchored(4)
    await remedied(t, lane.states, 'chain.state')

    lane.breakOurs(true)
    lane.checkpoint(5)
    const ours = await caused(t, lane.states, 'chain.failed')
    t.match(ours.remedy, /report it with this message/)
    lane.breakOurs(false)
    await lane.anchored(5)
    await remedied(t, lane.states, 'chain.failed')
    await inOrder(t, anvil, lane, [endpoint], 5)
  },
)

t.test('an endpoint that keeps failing is named, and not once it answers again', async (t) => {
  const [bad, good] = [await honest(), await honest()]
  const lane = await startLane(t, anvil, { endpoints: [bad, good] })
  lane.checkpoint(1)
  await lane.anchored(1)
  bad.fault = cut
  let size = 1
  // It rests after each failure: the next look comes when the lane's clock says so.
  await until('it failed three times', async () => {
    lane.skew(301_000)
    lane.checkpoint(++size)
    await lane.anchored(size)
    return lane.codes().includes('chain.endpoint-unwell')
  })
  const unwell = await caused(t, lane.states, 'chain.endpoint-unwell')
  t.match(unwell, { title: bad.host, remedy: /tried again by itself/ })
  bad.fault = undefined
  lane.skew(301_000)
  lane.checkpoint(++size)
  await lane.anchored(size)
  await remedied(t, lane.states, 'chain.endpoint-unwell')
})

t.test('everything at once, at random, and then honesty', async (t) => {
  const [first, second] = [await honest(), await honest()]
  let seed = 42
  // Lehmer: the same faults in each run.
  const random = () => {
    seed = (seed * 48_271) % 0x7fffffff
    return seed / 0x7fffffff
  }
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!
  const faults: Fault[] = [
    ...GARBAGE,
    hang,
    cut,
    cutAfter,
    async ({ question }) => refusal(question, -32000, 'nonce too low'),
    async ({ question }) => refusal(question, -32000, 'replacement transaction underpriced'),
    async ({ question }) => refusal(question, -32000, 'already known'),
    async ({ question }) => refusal(question, -32005, 'limit exceeded'),
    async ({ question }) => refusal(question, -32000, 'header not found'),
    (exchange) => exchange.forward().then(exchange.forward),
  ]
  const chaos: Fault = (exchange) => (random() < 0.2 ? pick(faults)(exchange) : exchange.forward())
  const lane = await startLane(t, anvil, { endpoints: [first, second] })
  first.fault = chaos
  second.fault = chaos
  let size = 0
  for (let step = 0; step < 80; step++) {
    lane.checkpoint(++size)
    await sleep(50)
    lane.skew(500)
  }
  const during = (await eventsOf(anvil, lane)).length
  t.comment(`${during} anchors amid the faults, ${first.asked.length + second.asked.length} questions`)
  first.fault = undefined
  second.fault = undefined
  lane.skew(301_000)
  await lane.final(size)
  await inOrder(t, anvil, lane, [first, second], size)
})
