/** What an agent, the provider and the recorder see when something goes wrong. */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { answering, gateway, identity, internet, NAME, reading, startRig } from './proxy-rig.ts'

const GET = `GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\nAuthorization: Bearer sk-secret\r\n\r\n`
const POST = `POST /v1/x HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 4\r\n\r\nbody`
const tick = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms))

function gatewayError(text: string): { type: string; code: string; message: string } {
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).error
}

t.test('without a recorder the agent gets 503 and the provider nothing', async (t) => {
  let seen = 0
  const rig = await startRig({ startRecorder: false, provider: (socket) => count(socket) })
  const count = (socket: Socket) =>
    socket.on('data', (bytes) => {
      seen += bytes.length
    })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(POST)
  const text = await read.until('end')
  t.match(text, /^HTTP\/1.1 503 Service Unavailable\r\n/)
  t.match(gatewayError(text), { type: 'agent_anchor_gateway', code: 'recorder_unavailable' })
  t.equal(seen, 0)
  await rig.recorder.start()
  while (rig.worker.state().recorder === 'lost') await tick()
  const again = await rig.agent()
  again.write(POST)
  await rig.recorder.until(() => rig.recorder.frames.some((frame) => frame.type === FrameType.RequestEnd))
  t.pass('it is found again when it comes')
})

t.test('a disk that is full, and a recorder that does not answer, are 503 with the reason', async (t) => {
  let seen = 0
  const rig = await startRig({
    recorderTimeoutMs: 150,
    provider: (socket) =>
      socket.on('data', (bytes) => {
        seen += bytes.length
      }),
  })
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'failed'
  const full = await rig.agent()
  const fullRead = reading(full)
  full.write(POST)
  const text = await fullRead.until('end')
  t.match(text, /^HTTP\/1.1 503 /)
  t.match(gatewayError(text).message, /disk full \(ENOSPC\)/)
  t.match((await rig.recorder.ended()).end, {
    outcome: 'not-recorded',
    error: { code: 'recorder_unavailable' },
  })
  rig.recorder.mode = 'silent'
  const slow = await rig.agent()
  const slowRead = reading(slow)
  slow.write(POST)
  t.match(await slowRead.until('end'), /^HTTP\/1.1 503 .*no answer from the recorder in 150 ms/s)
  t.equal(seen, 0)
})

t.test(
  'an upstream that already has part of a request is cut when the request can’t be recorded',
  async (t) => {
    const rig = await startRig({ provider: (socket) => socket.on('data', () => {}) })
    t.teardown(() => rig.stop())
    rig.recorder.mode = 'failed'
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(POST.slice(0, -4))
    while (rig.provided.length === 0) await tick()
    const upstream = reading(rig.provided[0] as Socket)
    await tick(20)
    agent.write('body')
    t.match(await read.until('end'), /^HTTP\/1.1 503 /)
    await upstream.until('end')
    t.notMatch(upstream.text, /body/)
  },
)

t.test('losing the recorder in the middle of an answer cuts it both ways', async (t) => {
  const rig = await startRig({
    provider: answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart'),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(GET)
  await read.until('part')
  const upstream = reading(rig.provided[0] as Socket)
  for (const socket of rig.recorder.sockets) socket.destroy()
  await read.until('end')
  await upstream.until('end')
  t.notMatch(read.text, /503/)
})

t.test('a provider whose certificate is not trusted is 502 and recorded so', async (t) => {
  for (const tls of [await identity(gateway, NAME), await identity(internet, 'www.other.example')]) {
    let seen = 0
    const rig = await startRig({
      tls,
      provider: (socket) =>
        socket.on('data', () => {
          seen += 1
        }),
    })
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(POST)
    const text = await read.until('end')
    t.match(text, /^HTTP\/1.1 502 Bad Gateway\r\n/)
    t.match(gatewayError(text), { code: 'upstream_untrusted' })
    t.match((await rig.recorder.ended()).end, {
      outcome: 'upstream-untrusted',
      error: { code: 'upstream_untrusted' },
    })
    t.equal(seen, 0)
    await rig.stop()
  }
})

t.test('a provider that can’t be reached, resolved or spoken to is 502 and recorded so', async (t) => {
  const cases = [
    { options: { destination: () => ({ address: '127.0.0.1', port: 1 }) }, code: 'upstream_unreachable' },
    { options: { staticHosts: {} }, code: 'upstream_unresolved' },
    { options: { tls: false as const }, code: 'upstream_tls_failed' },
  ]
  for (const { options, code } of cases) {
    const rig = await startRig({ provider: (socket) => socket.end('SSH-2.0-nope\r\n'), ...options })
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(POST)
    const text = await read.until('end')
    t.match(text, /^HTTP\/1.1 502 /)
    t.match(gatewayError(text), { code })
    t.notMatch(text, /SSL routines|\\n/, 'no line of OpenSSL’s own')
    t.match((await rig.recorder.ended()).end, { outcome: 'upstream-unreachable', error: { code } })
    await rig.stop()
  }
})

t.test(
  'never dials an address that DNS may not give, and says when it dialled another than the agent',
  async (t) => {
    const rig = await startRig({
      provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
      staticHosts: {},
      dns: async () => ({ addresses: ['127.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.1'], ttl: 60 }),
    })
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(GET)
    t.match(await read.until('end'), /upstream_unresolved/)
    t.equal(rig.provided.length, 0)
    await rig.stop()

    const other = await startRig({
      provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
      destination: (port) => ({ address: '203.0.113.9', port }),
    })
    t.teardown(() => other.stop())
    const second = await other.agent()
    second.write(GET)
    t.match((await other.recorder.ended()).end, {
      outcome: 'complete',
      destinationMismatch: true,
      upstream: { address: '127.0.0.1' },
    })
  },
)

t.test('refuses what could be read in two ways, records it, forwards nothing', async (t) => {
  let seen = 0
  const rig = await startRig({
    provider: (socket) =>
      socket.on('data', (bytes) => {
        seen += bytes.length
      }),
  })
  t.teardown(() => rig.stop())
  const head = `POST /v1/x HTTP/1.1\r\nHost: ${NAME}\r\n`
  const refused: [string, RegExp, string][] = [
    [
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      /^HTTP\/1.1 400 /,
      'conflicting_length',
    ],
    [`${head}Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody`, /^HTTP\/1.1 400 /, 'conflicting_length'],
    [`${head}Content-Length: +4\r\n\r\nbody`, /^HTTP\/1.1 400 /, 'conflicting_length'],
    [
      `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      /^HTTP\/1.1 400 /,
      'unsupported_transfer_coding',
    ],
    [`${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_field'],
    [`${head}X: a\r\n b\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_field'],
    [`${head}X: a\nTransfer-Encoding: chunked\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_field'],
    [`${head}X: a\rb\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_field'],
    [`${head}X: a\0b\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_field'],
    [`POST  /x HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_request_line'],
    ['GET /x HTTP/1.1\r\nHost: chatgpt.com\r\n\r\n', /^HTTP\/1.1 421 Misdirected/, 'misdirected_request'],
    [
      `GET https://evil.example/x HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`,
      /^HTTP\/1.1 421 /,
      'misdirected_request',
    ],
    ['GET /x HTTP/1.1\r\n\r\n', /^HTTP\/1.1 400 /, 'malformed_host'],
    [`GET /x HTTP/1.1\r\nHost: ${NAME}\r\nHost: ${NAME}\r\n\r\n`, /^HTTP\/1.1 400 /, 'malformed_host'],
    [`CONNECT ${NAME}:443 HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`, /^HTTP\/1.1 400 /, 'unsupported_target'],
    [`GET /x HTTP/1.1\r\nHost: ${NAME}\r\nX: ${'x'.repeat(70_000)}`, /^HTTP\/1.1 431 /, 'head_too_large'],
  ]
  for (const [request, status, code] of refused) {
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(request, 'latin1')
    const text = await read.until('end')
    t.match(text, status)
    t.match(gatewayError(text), { code })
  }
  await rig.recorder.until(() => rig.recorder.refusals().length === refused.length)
  t.match(rig.recorder.refusals()[0], {
    rule: 'standard/governed-name',
    serverName: NAME,
    agent: { uid: 1000 },
  })
  t.match(rig.recorder.refusals()[0]?.reason, /^conflicting_length: /)
  t.equal(seen, 0)

  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n`)
  t.match(gatewayError(await read.until('end')), { code: 'malformed_chunk' })
  t.match((await rig.recorder.ended()).end, { outcome: 'protocol-error', error: { code: 'malformed_chunk' } })
})

t.test('an answer that could be read in two ways is 502', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n',
    'HTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  ]
  const rig = await startRig({ provider: answering(() => answers.shift()) })
  t.teardown(() => rig.stop())
  for (let i = 0; i < 4; i++) {
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(GET)
    const text = await read.until('end')
    if (i < 3) {
      t.match(text, /^HTTP\/1.1 502 /)
      t.match(gatewayError(text), { code: 'upstream_protocol_error' })
    }
    t.match((await rig.recorder.ended(i)).end, { outcome: 'protocol-error' })
  }
})

t.test('an agent that goes away ends the upstream exchange; what it had is recorded', async (t) => {
  const rig = await startRig({
    provider: (socket) =>
      socket.on('data', () =>
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n'),
      ),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(GET)
  await read.until('one')
  const upstream = reading(rig.provided[0] as Socket)
  agent.destroy()
  await upstream.until('end')
  rig.provided[0]?.destroy()
  const { end, responseBody } = await rig.recorder.ended()
  t.equal(end?.outcome, 'client-aborted')
  t.equal(responseBody.toString(), 'one')

  const half = await rig.agent()
  half.write(POST.slice(0, -2))
  await rig.recorder.until(
    () => rig.recorder.frames.filter((frame) => frame.type === FrameType.RequestBody).length > 0,
  )
  half.destroy()
  t.match((await rig.recorder.ended(1)).end, { outcome: 'client-aborted' })
})

t.test('a provider that goes away cuts the answer short for the agent too', async (t) => {
  const rig = await startRig({
    provider: (socket) =>
      socket.on('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst', () =>
          setTimeout(() => socket.destroy(), 20),
        )
      }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(GET)
  t.match(await read.until('end'), /first$/)
  t.match((await rig.recorder.ended()).end, {
    outcome: 'upstream-aborted',
    error: { code: 'upstream_closed' },
  })
})

t.test(
  'a kept connection that the provider closed is replaced where nothing was sent, never repeated blindly',
  async (t) => {
    let connections = 0
    let posts = 0
    const rig = await startRig({
      provider: (socket) => {
        connections += 1
        let requests = 0
        socket.on('data', (bytes) => {
          requests += 1
          if (bytes.toString().startsWith('POST')) posts += 1
          if (requests === 2) socket.destroy()
          else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        })
      },
    })
    t.teardown(() => rig.stop())
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(GET)
    await read.until('ok')
    read.clear()
    agent.write(GET)
    await read.until('ok')
    t.equal(connections, 2, 'a GET goes out again')
    read.clear()
    agent.write(POST)
    const text = await read.until('end')
    t.match(gatewayError(text), { code: 'upstream_closed' })
    t.equal(posts, 1, 'a POST that was sent does not')

    const next = await rig.agent()
    const nextRead = reading(next)
    next.write(GET)
    await nextRead.until('ok')
    rig.recorder.mode = 'silent'
    nextRead.clear()
    next.write(POST)
    const ends = () => rig.recorder.frames.filter((frame) => frame.type === FrameType.RequestEnd)
    await rig.recorder.until(() => ends().length === 5)
    rig.provided.at(-1)?.destroy()
    await tick(30)
    rig.recorder.answer(ends().at(-1)?.exchange as number, true)
    await nextRead.until('ok')
    t.equal(posts, 2, 'a POST of which nothing was sent goes out once')
  },
)

t.test(
  '20 MB each way arrive whole, chunked and not, with bounded memory though the reader is slow',
  async (t) => {
    const size = 20 << 20
    const block = randomBytes(1 << 16)
    const rig = await startRig({
      provider: (socket) => {
        let got = 0
        let paused = 0
        socket.on('data', (bytes) => {
          got += bytes.length
          if (paused++ % 64 === 0) {
            socket.pause()
            setTimeout(() => socket.resume(), 2)
          }
          if (got < size) return
          got = Number.NEGATIVE_INFINITY
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
          let sent = 0
          const more = () => {
            while (sent < size) {
              sent += block.length
              socket.write(`${block.length.toString(16)}\r\n`)
              socket.write(block)
              if (!socket.write('\r\n')) return void socket.once('drain', more)
            }
            socket.write('0\r\n\r\n')
          }
          more()
        })
      },
    })
    t.teardown(() => rig.stop())
    let requestBytes = 0
    let responseBytes = 0
    rig.recorder.bodies = ({ type, payload }) => {
      if (type === FrameType.RequestBody) requestBytes += payload.length
      else responseBytes += payload.length
    }
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const before = process.memoryUsage()
    const agent = await rig.agent()
    agent.write(`POST /v1/files HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: ${size}\r\n\r\n`)
    let written = 0
    const send = () => {
      while (written < size) {
        written += block.length
        if (!agent.write(block)) return void agent.once('drain', send)
      }
    }
    send()
    let received = 0
    let reads = 0
    let peak = 0
    await new Promise<void>((resolve) => {
      agent.on('data', (bytes) => {
        received += bytes.length
        if (reads++ % 64 === 0) {
          agent.pause()
          collect()
          // The collector gives buffers back beside us: what is left a moment later is what is held.
          setTimeout(() => {
            peak = Math.max(peak, process.memoryUsage().arrayBuffers - before.arrayBuffers)
            agent.resume()
          }, 20)
        }
        if (bytes.subarray(-5).toString() === '0\r\n\r\n') resolve()
      })
    })
    await tick(50)
    t.equal(requestBytes, size)
    t.equal(responseBytes, size)
    t.ok(received > size)
    t.ok(peak < 16 << 20, `at most ${peak >> 20} MiB of buffers, this test's own included`)
  },
)

for (const [how, tls] of [
  ['over TLS', true],
  ['without', false],
] as const) {
  t.test(
    `an answer that ends with the connection and was broken off is broken off here, ${how}`,
    async (t) => {
      const rig = await startRig({
        ...(tls ? {} : { tls: false as const }),
        provider: (socket) => socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\nhalf of it')),
      })
      t.teardown(() => rig.stop())
      const agent = tls ? await rig.agent() : await rig.plain()
      const errors: string[] = []
      agent.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(`${code}`))
      const read = reading(agent)
      agent.write(GET)
      await read.until('half of it')
      const [provider] = rig.provided as [Socket & { _parent?: Socket }]
      ;(provider._parent ?? provider).resetAndDestroy()
      await read.until('end')
      t.same(errors, ['ECONNRESET'], 'no end that could pass for that of the answer')
      t.match((await rig.recorder.ended()).end, { outcome: 'upstream-aborted' })
    },
  )
}
