/** The log over HTTP: what is given out, and what strangers can't do. */
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { type Listening, startBoundedServer } from '../../daemon/http/bounded-server.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { writeCosigned } from '../../daemon/ledger/cosigned-file.ts'
import { decodeBundle } from '../../daemon/ledger/entry-bundle.ts'
import { leafHash } from '../../daemon/ledger/merkle.ts'
import { noteText } from '../../daemon/ledger/note.ts'
import { logResource } from '../../daemon/log-server/log-resource.ts'
import { grow, leaf, temporaryDirectory } from './ledger-fixture.ts'

/** @returns the port, once it listens */
async function serve(t: Test, options: Partial<Parameters<typeof startBoundedServer>[0]>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<Listening>()
  const server = startBoundedServer({
    address: '127.0.0.1',
    port: 0,
    maxBody: 0,
    log: () => {},
    handle: () => ({ status: 200 }),
    listening: resolve,
    ...options,
  })
  t.teardown(() => server.close())
  t.equal((await promise).why, undefined)
  return server.port!
}

/** Says exactly these bytes; what comes back until the other side ends. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(bytes)
  let answer = ''
  socket.on('data', (piece) => {
    answer += piece.toString('latin1')
  })
  await once(socket, 'close')
  return answer
}

const get = (port: number, path: string, method = 'GET', headers = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, { method, headers })
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer())

t.test('serves every partial width up to the checkpoint, and nothing beyond it', async (t) => {
  const dir = temporaryDirectory(t)
  // The store keeps the last four widths only; and one tile is full.
  for (const [from, to] of [
    [0, 3],
    [3, 9],
    [9, 20],
    [20, 260],
    [260, 263],
    [263, 270],
    [270, 280],
    [280, 300],
  ] as const) {
    await grow(dir, from, to)
  }
  const port = await serve(t, { handle: logResource(dir, true) })
  const hashes = Array.from({ length: 300 }, (_, i) => leafHash(leaf(i)))
  for (const [index, most] of [
    ['000', 256],
    ['001', 44],
  ] as const) {
    for (let width = 1; width <= most; width++) {
      const suffix = width === 256 ? '' : `.p/${width}`
      const tile = await get(port, `/tile/0/${index}${suffix}`)
      t.equal(tile.status, 200)
      const first = index === '000' ? 0 : 256
      const expected = Buffer.concat(hashes.slice(first, first + width))
      if (!(await bytesOf(tile)).equals(expected)) t.fail(`tile ${index} of width ${width}`)
      const bundle = await bytesOf(await get(port, `/tile/entries/${index}${suffix}`))
      const entries = decodeBundle(bundle, width)
      if (!entries.every(({ bytes }, i) => bytes.equals(leaf(first + i))))
        t.fail(`bundle ${index} of ${width}`)
      const end = entries.at(-1)!
      if (end.offset + 2 + end.bytes.length !== bundle.length) t.fail(`bundle ${index} of ${width} goes on`)
    }
  }
  t.equal((await bytesOf(await get(port, '/tile/1/000.p/1'))).length, 32)
  for (const beyond of [
    '/tile/0/001',
    '/tile/0/001.p/45',
    '/tile/0/002.p/1',
    '/tile/1/000',
    '/tile/1/000.p/2',
    '/tile/2/000.p/1',
    '/tile/entries/001',
    '/tile/entries/001.p/45',
  ]) {
    t.equal((await get(port, beyond)).status, 404, beyond)
  }
})

t.test('a leaf that is in tiles but not under a checkpoint yet is not given out', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const older = readFileSync(join(dir, 'checkpoint'))
  await grow(dir, 5, 7)
  writeFileSync(join(dir, 'checkpoint'), older)
  const port = await serve(t, { handle: logResource(dir, true) })
  t.equal((await get(port, '/tile/0/000.p/7')).status, 404)
  t.equal((await bytesOf(await get(port, '/tile/0/000.p/5'))).length, 160)
})

t.test('types, caching, HEAD and compression are as tlog-tiles has them', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 40)
  const port = await serve(t, { handle: logResource(dir, true) })
  const checkpoint = await get(port, '/checkpoint')
  t.equal(checkpoint.headers.get('content-type'), 'text/plain; charset=utf-8')
  t.equal(checkpoint.headers.get('cache-control'), 'public, max-age=1')
  t.equal(await checkpoint.text(), readFileSync(join(dir, 'checkpoint'), 'utf8'))
  const tile = await get(port, '/tile/0/000.p/40')
  t.equal(tile.headers.get('content-type'), 'application/octet-stream')
  t.match(tile.headers.get('cache-control'), /max-age=31536000, immutable/)
  const head = await get(port, '/tile/0/000.p/40', 'HEAD')
  t.equal(head.headers.get('content-length'), String(40 * 32))
  t.equal((await bytesOf(head)).length, 0)
  t.match(
    await raw(port, 'GET /tile/entries/000.p/40 HTTP/1.0\r\n\r\n'),
    /^HTTP\/1.1 200 OK\r\n(?!.*content-encoding)/s,
  )
  const request = 'GET /tile/entries/000.p/40 HTTP/1.0\r\nAccept-Encoding: br, gzip\r\n\r\n'
  const answer = await raw(port, request)
  t.match(answer, /content-encoding: gzip/)
  const body = gunzipSync(Buffer.from(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1'))
  t.same(decodeBundle(body, 40)[39]!.bytes, leaf(39))
  const missing = await get(port, '/tile/0/009')
  t.equal(missing.headers.get('cache-control'), 'no-store', 'what is not there yet may come')
})

t.test('entries are served only where that is wanted', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const port = await serve(t, { handle: logResource(dir, false) })
  t.equal((await get(port, '/tile/entries/000.p/5')).status, 404)
  t.equal((await get(port, '/tile/0/000.p/5')).status, 200)
})

t.test('the newest checkpoint comes with its cosignatures, an older one not', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const port = await serve(t, { handle: logResource(dir, false) })
  const plain = readFileSync(join(dir, 'checkpoint'), 'utf8')
  const cosigned = `${plain}${cosigner('witness.example', Buffer.alloc(32, 1)).cosign(noteText(plain), 1n)}`
  await writeCosigned(dir, cosigned)
  t.equal(await (await get(port, '/checkpoint')).text(), cosigned)
  await grow(dir, 5, 6)
  t.equal(await (await get(port, '/checkpoint')).text(), readFileSync(join(dir, 'checkpoint'), 'utf8'))
})

t.test('no path leads anywhere but to a tile', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 300)
  const port = await serve(t, { handle: logResource(dir, true) })
  for (const path of [
    '/',
    '',
    '*',
    '/state.json',
    '/lock',
    '/wal/0000000000.wal',
    '/checkpoint/',
    '//checkpoint',
    '/checkpoint?x',
    '/Checkpoint',
    '/checkpoint%00',
    '/tile/../checkpoint',
    '/tile/0/../../state.json',
    '/tile/%2e%2e/checkpoint',
    '/tile/0/000/',
    '/tile/00/000',
    '/tile/0/0',
    '/tile/0/x000/000',
    '/tile/-1/000',
    '/tile/0/000.p/0',
    '/tile/0/000.p/256',
    '/tile/0/000.p/01',
    '/tile/0/000.p',
    '/tile/8/000',
    '/tile/64/000',
    '/tile/data/000',
    '/tile/entries/000.p',
    `/tile/0/${'x999/'.repeat(6)}999`,
    `/tile/0/${'x999/'.repeat(20)}999`,
    '/tile\\0\\000',
    'http://other.example/checkpoint',
  ]) {
    t.match(await raw(port, `GET ${path} HTTP/1.0\r\n\r\n`), /^(HTTP\/1\.1 404 |$)/, JSON.stringify(path))
  }
})

t.test('only GET and HEAD are answered, and bodies are refused unread', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 3)
  const port = await serve(t, { handle: logResource(dir, true) })
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await get(port, '/checkpoint', method)
    t.equal(answer.status, 405, method)
    t.equal(answer.headers.get('allow'), 'GET, HEAD')
  }
  t.equal(await raw(port, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'), '')
  t.match(
    await raw(port, 'GET /checkpoint HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello'),
    /^HTTP\/1.1 413 /,
  )
  const chunked = 'GET /checkpoint HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'
  t.match(await raw(port, chunked), /^HTTP\/1.1 413 /)
  t.equal(await raw(port, 'nonsense\r\n\r\n'), '')
  t.equal(await raw(port, `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`), '')
  t.equal(await raw(port, `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(5000)}\r\n`), '')
  t.equal((await get(port, '/checkpoint')).status, 200, 'and it still serves')
})

t.test('a client that says nothing, or half a request, is dropped', async (t) => {
  const port = await serve(t, {})
  const began = performance.now()
  await Promise.all([raw(port, ''), raw(port, 'GET /checkpoint HTT')])
  t.ok(performance.now() - began < 30_000)
})

t.test('more connections than a server takes are closed, and the others served', async (t) => {
  const port = await serve(t, {})
  const sockets = Array.from({ length: 300 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.race(sockets.map((socket) => once(socket, 'close')))
  t.pass('one is closed')
  for (const socket of sockets.slice(0, 100)) socket.destroy()
  let status = 0
  while (status !== 200)
    status = await get(port, '/').then(
      (answer) => answer.status,
      () => 0,
    )
  t.equal(status, 200)
})

t.test('a damaged tile is an error, not a tile, and the server goes on', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const lines: string[] = []
  const port = await serve(t, { handle: logResource(dir, true), log: (line) => void lines.push(line) })
  const file = join(dir, 'tile/0/000.p/5')
  writeFileSync(file, readFileSync(file).subarray(1))
  t.equal((await get(port, '/tile/0/000.p/5')).status, 503)
  t.match(lines.join('\n'), /has 159 bytes, not 160/)
  rmSync(file)
  t.equal((await get(port, '/tile/0/000.p/5')).status, 503)
  t.equal((await get(port, '/checkpoint')).status, 200)
})

t.test('a port that is taken is told and waited for', async (t) => {
  const squatter = createServer().listen(0, '127.0.0.1')
  await once(squatter, 'listening')
  const { port } = squatter.address() as AddressInfo
  const states: Listening[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const server = startBoundedServer({
    address: '127.0.0.1',
    port,
    maxBody: 0,
    log: () => {},
    handle: () => ({ status: 200 }),
    listening(state) {
      states.push(state)
      if (state.why === undefined) resolve()
      else squatter.close()
    },
  })
  t.teardown(() => server.close())
  await promise
  t.equal(states[0]?.why, 'another program has this port')
  t.same(states.at(-1), { listen: `127.0.0.1:${port}` })
  t.equal((await get(port, '/')).status, 200)
})
