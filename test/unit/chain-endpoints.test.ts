import t from 'tap'
import { chainOver } from '../../daemon/chain-writer/chain.ts'
import { ChainError, garbage } from '../../daemon/chain-writer/chain-error.ts'
import { endpointsOf } from '../../daemon/chain-writer/endpoints.ts'
import type { Rpc } from '../../daemon/chain-writer/json-rpc.ts'

const refused = (status: number, message: string, retryAfterMs?: number) =>
  new ChainError('RPC_REFUSED', message, '', { status, message, ...(retryAfterMs ? { retryAfterMs } : {}) })
const unreachable = new ChainError('RPC_UNREACHABLE', 'down', '')

/** An endpoint that does as `answer` says and notes what it was asked. */
function endpoint(host: string, answer: (method: string) => unknown, chainId = '0x1') {
  const asked: string[] = []
  const rpc: Rpc = {
    host,
    async call(method) {
      if (method !== 'eth_chainId') asked.push(method)
      const given = method === 'eth_chainId' && chainId !== '' ? chainId : answer(method)
      if (given instanceof Error) throw given
      return given
    },
  }
  return { rpc, asked }
}

function pool(...rpcs: Rpc[]) {
  let time = 1_000_000
  const endpoints = endpointsOf({ rpcs, chainId: 1, now: () => time })
  return { endpoints, chain: chainOver(endpoints), after: (ms: number) => (time += ms) }
}

t.test('asks the next endpoint where one is dead, busy or talks nonsense, in the order given', async (t) => {
  const good = endpoint('good', () => '0x2a')
  for (const fault of [
    unreachable,
    refused(503, 'HTTP status 503'),
    refused(429, 'HTTP status 429'),
    refused(401, 'HTTP status 401'),
    refused(-32601, 'the method is not available on your plan'),
    refused(-32005, 'limit exceeded'),
    garbage('no JSON'),
    'not a quantity',
  ]) {
    const bad = endpoint('bad', () => fault)
    const { endpoints, chain } = pool(bad.rpc, good.rpc)
    t.equal(await chain.gasPrice(), 42n, String(fault))
    t.equal(endpoints.host, 'good')
    t.equal(await chain.gasPrice(), 42n)
    t.same(bad.asked, ['eth_gasPrice'], 'it rests')
  }
})

t.test("takes the chain's own no for an answer: no second endpoint is asked", async (t) => {
  for (const no of [
    refused(-32000, 'nonce too low'),
    refused(3, 'execution reverted'),
    refused(-32015, 'VM execution error: Reverted 0x'),
    refused(-32000, 'replacement transaction underpriced'),
  ]) {
    const refusing = endpoint('refusing', () => no)
    const other = endpoint('other', () => '0x1')
    const { chain } = pool(refusing.rpc, other.rpc)
    await t.rejects(chain.send('0x00'), { code: 'RPC_REFUSED' })
    t.same(other.asked, [])
  }
  const tagless = endpoint('tagless', () => refused(-32602, 'unknown block tag'))
  const other = endpoint('other', () => null)
  await t.rejects(pool(tagless.rpc, other.rpc).chain.block('finalized'), { code: 'RPC_REFUSED' })
  t.same(other.asked, [])
})

t.test('comes back to the preferred endpoint when it has rested, later each time it fails', async (t) => {
  let dead = true
  const first = endpoint('first', () => (dead ? unreachable : '0x1'))
  const second = endpoint('second', () => '0x2')
  const { endpoints, chain, after } = pool(first.rpc, second.rpc)
  t.equal(await chain.gasPrice(), 2n)
  after(1_000)
  t.equal(await chain.gasPrice(), 2n)
  t.equal(first.asked.length, 2)
  after(1_000)
  t.equal(await chain.gasPrice(), 2n)
  t.equal(first.asked.length, 2, 'the second rest is longer')
  after(1_000)
  t.equal(await chain.gasPrice(), 2n)
  t.match(endpoints.unwell, [{ host: 'first', failures: 3 }])
  dead = false
  after(300_000)
  t.equal(await chain.gasPrice(), 1n)
  t.same(endpoints.unwell, [])
})

t.test('leaves an endpoint alone for as long as it asks', async (t) => {
  const first = endpoint('first', () => refused(429, 'slow down', 30_000))
  const { chain, after } = pool(first.rpc, endpoint('second', () => '0x2').rpc)
  await chain.gasPrice()
  after(29_999)
  await chain.gasPrice()
  t.equal(first.asked.length, 1)
  after(1)
  await chain.gasPrice()
  t.equal(first.asked.length, 2)
})

t.test('asks an endpoint nothing but its chain before it has named the right one', async (t) => {
  const wrong = endpoint('wrong', () => '0x0', '0x2a')
  const right = endpoint('right', () => '0x5')
  const { chain, endpoints } = pool(wrong.rpc, right.rpc)
  t.equal(await chain.gasPrice(), 5n)
  t.same(wrong.asked, [])
  t.equal(endpoints.host, 'right')
  await t.rejects(pool(wrong.rpc).chain.gasPrice(), {
    code: 'WRONG_CHAIN',
    message: /wrong serves chain 42, not 1/,
  })
})

t.test('an endpoint that changes its chain is found out in the next round', async (t) => {
  let id = '0x1'
  const turncoat = endpoint('turncoat', (method) => (method === 'eth_chainId' ? id : '0x7'), '')
  const { chain, endpoints } = pool(turncoat.rpc)
  t.equal(await chain.gasPrice(), 7n)
  id = '0x2'
  endpoints.newRound()
  await t.rejects(chain.gasPrice(), { code: 'WRONG_CHAIN' })
  id = '0x1'
  t.equal(await chain.gasPrice(), 7n, 'a single one is asked again though it rests')
})

t.test('where all rest, all are asked; the first failure is told', async (t) => {
  const { chain } = pool(endpoint('a', () => unreachable).rpc, endpoint('b', () => garbage('x')).rpc)
  for (let i = 0; i < 3; i++) await t.rejects(chain.gasPrice(), { code: /RPC_UNREACHABLE|RPC_GARBAGE/ })
})

t.test(
  'one that is distrusted rests, and its neighbour is asked; others are who can be asked besides',
  async (t) => {
    const { chain, endpoints } = pool(
      endpoint('a', () => '0x1').rpc,
      endpoint('b', () => '0x2').rpc,
      endpoint('c', () => '0x3').rpc,
    )
    t.equal(await chain.gasPrice(), 1n)
    t.same(
      endpoints.others().map(({ host }) => host),
      ['b', 'c'],
    )
    endpoints.distrust(garbage('it lies'))
    t.equal(await chain.gasPrice(), 2n)
    t.same(
      endpoints.others().map(({ host }) => host),
      ['c'],
      'the one that rests gives no second opinion',
    )
  },
)
