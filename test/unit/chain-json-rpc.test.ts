import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { assertChain, chainOver } from '../../daemon/chain-writer/chain.ts'
import { refusalOf } from '../../daemon/chain-writer/chain-error.ts'
import { httpRpc } from '../../daemon/chain-writer/json-rpc.ts'

/** An endpoint that answers as told; its URL carries a secret, as hosted ones do. */
async function endpoint(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3/SECRETKEY`
}

const saying =
  (text: string, status = 200): RequestListener =>
  (request, response) => {
    request.resume()
    response.writeHead(status).end(text)
  }
const result = (value: unknown) => saying(JSON.stringify({ jsonrpc: '2.0', id: 1, result: value }))

t.test('returns what an honest endpoint says', async (t) => {
  const chain = chainOver(httpRpc(await endpoint(t, result('0x7a69'))))
  t.equal(await chain.chainId(), 31337n)
})

t.test('refuses garbage with a typed error that has a remedy', async (t) => {
  const answers = ['', 'no JSON', '[]', 'null', '{}', '{"id":2,"result":"0x1"}', '{"id":1}', '\u0000\ufffd{']
  for (const answer of answers) {
    const call = httpRpc(await endpoint(t, saying(answer))).call('eth_chainId', [])
    await t.rejects(call, { code: 'RPC_GARBAGE', remedy: /rpc/ }, JSON.stringify(answer))
  }
})

t.test('refuses values that no node may answer', async (t) => {
  const values = [null, 1, '', '0x', '1', '0x01', '0xzz', `0x${'f'.repeat(65)}`, {}, []]
  for (const value of values) {
    const chain = chainOver(httpRpc(await endpoint(t, result(value))))
    await t.rejects(chain.chainId(), { code: 'RPC_GARBAGE' }, JSON.stringify(value))
  }
  const hash = `0x${'ab'.repeat(32)}`
  const block = { number: '0x5', hash, timestamp: '0x1' }
  const another = chainOver(httpRpc(await endpoint(t, result(block))))
  await t.rejects(another.block(4), { code: 'RPC_GARBAGE' }, 'another block than the one asked for')
  const foreign = chainOver(httpRpc(await endpoint(t, result({ hash }))))
  await t.rejects(foreign.knows(`0x${'cd'.repeat(32)}`), { code: 'RPC_GARBAGE' }, 'another transaction')
  t.equal(await chainOver(httpRpc(await endpoint(t, result({ hash })))).knows(hash), true)
  const receipt = chainOver(httpRpc(await endpoint(t, result({ status: '0x1', logs: 'many' }))))
  await t.rejects(receipt.receipt('0x00'), { code: 'RPC_GARBAGE' })
})

t.test('ends an answer that has no end', async (t) => {
  const url = await endpoint(t, (request, response) => {
    request.resume()
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  })
  await t.rejects(httpRpc(url).call('eth_chainId', []), { code: 'RPC_GARBAGE' })
})

t.test('gives up on an endpoint that hangs, before or amid its answer', async (t) => {
  const silent = await endpoint(t, (request) => request.resume())
  await t.rejects(httpRpc(silent, { timeoutMs: 50 }).call('eth_chainId', []), { code: 'RPC_UNREACHABLE' })
  const stalled = await endpoint(t, (request, response) => {
    request.resume()
    response.write('{"id":1,')
  })
  await t.rejects(httpRpc(stalled, { timeoutMs: 50 }).call('eth_chainId', []), { code: 'RPC_UNREACHABLE' })
})

t.test("passes an endpoint's refusal on, cleaned of control characters", async (t) => {
  const error = { code: -32000, message: 'nonce\u001b[31m too\nlow', data: '0xABcd' }
  const url = await endpoint(t, saying(JSON.stringify({ id: 1, error })))
  await t.rejects(httpRpc(url).call('eth_sendRawTransaction', []), {
    code: 'RPC_REFUSED',
    cause: { status: -32000, message: 'nonce [31m too low', data: '0xABcd' },
  })
  const busy = await endpoint(t, saying('<html>slow down</html>', 429))
  await t.rejects(httpRpc(busy).call('eth_chainId', []), { code: 'RPC_REFUSED', cause: { status: 429 } })
  for (const [header, retryAfterMs] of [
    ['7', 7000],
    ['999999', 3_600_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ] as const) {
    const later = await endpoint(t, (request, response) => {
      request.resume()
      response.writeHead(429, { 'retry-after': header }).end()
    })
    const error = await httpRpc(later)
      .call('eth_chainId', [])
      .catch((error: unknown) => error)
    t.equal(refusalOf(error)?.retryAfterMs, retryAfterMs, header)
  }
})

t.test('never names the path of an endpoint, where its API key is', async (t) => {
  const urls = [
    await endpoint(t, saying('x')),
    await endpoint(t, saying('', 401)),
    'http://127.0.0.1:9/SECRETKEY',
  ]
  for (const url of urls) {
    const error = await httpRpc(url)
      .call('eth_chainId', [])
      .then(
        () => undefined,
        (error: Error) => error,
      )
    t.ok(error)
    t.notMatch(`${error?.message} ${error?.stack} ${JSON.stringify(error)}`, /SECRETKEY/)
  }
})

t.test('refuses an endpoint of another chain', async (t) => {
  const chain = chainOver(httpRpc(await endpoint(t, result('0x1'))))
  await t.rejects(assertChain(chain, 10), { code: 'WRONG_CHAIN', message: /chain 1, not 10/ })
})
