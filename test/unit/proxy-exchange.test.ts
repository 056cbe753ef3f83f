/** An intercepted exchange from the agent's socket to the provider's and back. */
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { answering, NAME, policyHash, reading, startRig } from './proxy-rig.ts'

const REQUEST_HEAD =
  `POST /v1/chat/completions?api_key=sk-query HTTP/1.1\r\nhOsT: ${NAME}\r\nX-B: 1\r\nx-a:  two \r\nX-B: 3\r\n` +
  'Authorization: Bearer sk-secret-key\r\nContent-Length: 17\r\n\r\n'
const REQUEST = `${REQUEST_HEAD}{"model":"gpt-x"}`
const ANSWER =
  'HTTP/1.1 200 Fine Thanks\r\ncOnTent-TYPE: application/json\r\nSet-Cookie: sid=topsecret; Path=/\r\nX-Z: 1\r\nx-z: 2\r\n' +
  'Content-Length: 11\r\n\r\n{"id":"abc"}'.slice(0, -1)

t.test('passes both heads and bodies byte for byte, and records them without credentials', async (t) => {
  let seen = ''
  const rig = await startRig({
    provider: answering((request) => {
      seen += request
      return ANSWER
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent({ alpn: ['h2', 'http/1.1'] })
  t.equal(agent.alpnProtocol, 'http/1.1')
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.equal(read.text, ANSWER)
  t.equal(seen, REQUEST)
  const { open, end, requestHead, requestBody, responseHead, responseBody, types } =
    await rig.recorder.ended()
  t.match(open, {
    provider: 'openai',
    serverName: NAME,
    agent: { uid: 1000, inode: 42 },
    tls: true,
    policy: { hash: policyHash, rule: 'standard/governed-name' },
    keepBodies: true,
    originalDestination: { address: '127.0.0.1', port: rig.providerPort },
  })
  t.match(open.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.same(
    (open.credentials as { where: string }[]).map(({ where }) => where),
    ['query:api_key', 'header:authorization'],
  )
  t.same(end, { outcome: 'complete', upstream: { address: '127.0.0.1', port: rig.providerPort } })
  t.equal(requestBody.toString(), '{"model":"gpt-x"}')
  t.equal(responseBody.toString(), '{"id":"abc"')
  t.match(
    requestHead,
    /^POST \/v1\/chat\/completions\?api_key=fp_[0-9a-f]{32} HTTP\/1.1\r\nhOsT: api.openai.com\r\n/,
  )
  t.match(requestHead, /\r\nX-B: 1\r\nx-a: {2}two \r\nX-B: 3\r\nAuthorization: Bearer fp_[0-9a-f]{32}\r\n/)
  t.match(responseHead, /\r\nSet-Cookie: sid=fp_[0-9a-f]{32}; Path=\/\r\nX-Z: 1\r\nx-z: 2\r\n/)
  const all = Buffer.concat(rig.recorder.frames.map((frame) => frame.payload)).toString('latin1')
  t.notMatch(all, /sk-secret-key|sk-query|topsecret/)
  t.same(types, [1, 2, 3, 4, 5, 6, 7])
})

t.test('keeps both connections alive and serves pipelined requests in order, one at a time', async (t) => {
  let under = 0
  let most = 0
  const rig = await startRig({
    provider: answering((request, socket) => {
      under += 1
      most = Math.max(most, under)
      const path = request.split(' ')[1] as string
      setTimeout(() => {
        under -= 1
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`)
      }, 10)
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
  agent.write(get('/first') + get('/second') + get('/third').slice(0, 20))
  await read.until('/second')
  agent.write(get('/third').slice(20))
  const text = await read.until('/third')
  t.same(
    [...text.matchAll(/\r\n\r\n\/([a-z]+)/g)].map((match) => match[1]),
    ['first', 'second', 'third'],
  )
  t.equal(most, 1)
  t.equal(rig.provided.length, 1, 'one connection to the provider')
  const other = await rig.agent()
  const otherRead = reading(other)
  other.write(get('/fourth'))
  await otherRead.until('/fourth')
  t.equal(rig.provided.length, 1, 'shared with the same agent’s next connection')
})

t.test('never shares a connection between agents', async (t) => {
  let uid = 1000
  const rig = await startRig({
    kernel: {
      originalDestination: (_socket, _family) => ({ address: '127.0.0.1', port: port() }),
      flowOwner: () => ({ uid: uid++, inode: 1 }),
    },
    provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
  })
  const port = () => rig.providerPort
  t.teardown(() => rig.stop())
  for (let i = 0; i < 2; i++) {
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('204')
  }
  t.equal(rig.provided.length, 2)
})

t.test('passes each event of a stream on as it comes', async (t) => {
  const rig = await startRig({
    provider: answering((_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`POST /v1/responses HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 2\r\n\r\n{}`)
  await read.until('\r\n\r\n')
  for (let i = 0; i < 5; i++) {
    const event = `data: ${i}\n\n`
    const chunk = `${event.length.toString(16)}\r\n${event}\r\n`
    read.clear()
    rig.provided[0]?.write(chunk)
    await read.until(chunk.length)
    t.equal(read.text, chunk, 'before the next event is sent')
  }
  rig.provided[0]?.write('0\r\nX-Checksum: 1\r\nX-Token: shh\r\n\r\n')
  await read.until('shh\r\n\r\n')
  const { responseBody, end } = await rig.recorder.ended()
  t.equal(responseBody.toString(), [0, 1, 2, 3, 4].map((i) => `data: ${i}\n\n`).join(''))
  t.match(end?.trailers, /^X-Checksum: 1\r\nX-Token: fp_/)
})

t.test('holds the last byte back until the request is on disk', async (t) => {
  let seen = ''
  const rig = await startRig({
    provider: (socket) => {
      socket.on('data', (bytes) => {
        seen += bytes
      })
    },
  })
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'silent'
  const agent = await rig.agent()
  agent.write(REQUEST_HEAD)
  await rig.recorder.until(() => rig.recorder.frames.some((frame) => frame.type === FrameType.RequestHead))
  while (!seen.includes('\r\n\r\n')) await tick()
  agent.write('{"model":')
  while (!seen.endsWith(':')) await tick()
  agent.write('"gpt-x"}')
  await rig.recorder.until(() => rig.recorder.frames.some((frame) => frame.type === FrameType.RequestEnd))
  await tick(50)
  t.equal(seen, `${REQUEST_HEAD}{"model":`)
  rig.recorder.answer(1, true)
  while (seen.length < REQUEST.length) await tick()
  t.equal(seen, REQUEST)
})

t.test('holds nothing of a bodyless request but all of it', async (t) => {
  let seen = 0
  const rig = await startRig({
    provider: (socket) =>
      socket.on('data', (bytes) => {
        seen += bytes.length
      }),
  })
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'silent'
  const agent = await rig.agent()
  agent.write(`GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await rig.recorder.until(() => rig.recorder.frames.some((frame) => frame.type === FrameType.RequestEnd))
  await tick(50)
  t.equal(seen, 0)
})

t.test('does not wait for the disk where the policy says async', async (t) => {
  const rig = await startRig({ durability: 'async', provider: answering(() => ANSWER) })
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'silent'
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.equal(read.text, ANSWER)
})

t.test(
  'serves Expect: 100-continue, HEAD, 204, 304, chunked requests and answers that end with the connection',
  async (t) => {
    const rig = await startRig({
      provider: (socket) => {
        let text = ''
        socket.on('data', (bytes) => {
          text += bytes.toString('latin1')
          if (text.startsWith('PUT') && text.endsWith('\r\n\r\n'))
            socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n')
          else if (text.startsWith('PUT') && text.endsWith('body!'))
            reply('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')
          else if (text.startsWith('HEAD')) reply('HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n')
          else if (text.startsWith('DELETE')) reply('HTTP/1.1 204 No Content\r\n\r\n')
          else if (text.startsWith('OPTIONS')) reply('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n')
          else if (text.startsWith('PATCH') && text.endsWith('0\r\n\r\n'))
            reply('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
          else if (text.startsWith('GET')) {
            socket.write('HTTP/1.1 200 OK\r\n\r\nno length')
            socket.end()
          }
        })
        const reply = (answer: string) => {
          text = ''
          socket.write(answer)
        }
      },
    })
    t.teardown(() => rig.stop())
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(`PUT /a HTTP/1.1\r\nHost: ${NAME}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
    await read.until('100 Continue\r\n\r\n')
    agent.write('body!')
    await read.until('201 Created\r\nContent-Length: 0\r\n\r\n')
    agent.write(`HEAD /b HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('999\r\n\r\n')
    agent.write(`DELETE /c HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('204 No Content\r\n\r\n')
    agent.write(`OPTIONS * HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('Length: 5\r\n\r\n')
    agent.write(`PATCH /d HTTP/1.1\r\nHost: ${NAME}\r\nTransfer-Encoding: chunked\r\n\r\n3;x="y"\r\nabc\r\n`)
    agent.write('2\r\nde\r\n0\r\n\r\n')
    await read.until('\r\n\r\nok')
    agent.write(`GET /e HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('end')
    t.match(read.text, /\r\n\r\nno length$/)
    t.equal(rig.provided.length, 1)
    const chunked = await rig.recorder.ended(4)
    t.equal(chunked.requestBody.toString(), 'abcde')
    t.equal((await rig.recorder.ended(5)).responseBody.toString(), 'no length')
    t.match((await rig.recorder.ended(0)).responseHead, /103 Early.*100 Continue.*201 Created/s)
  },
)

t.test(
  'tunnels a connection that is upgraded to something unknown both ways and records it as bodies',
  async (t) => {
    const rig = await startRig({
      provider: (socket) => {
        let up = false
        socket.on('data', (bytes) => {
          if (up) socket.write(`echo ${bytes}`)
          else
            socket.write(
              'HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\nhello',
            )
          up = true
        })
        socket.on('end', () => socket.end('bye'))
      },
    })
    t.teardown(() => rig.stop())
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(
      `GET /v1/realtime HTTP/1.1\r\nHost: ${NAME}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-ws\r\n\r\n`,
    )
    await read.until('hello')
    agent.write('ping')
    await read.until('echo ping')
    agent.end()
    await read.until('bye')
    const { end, requestBody, responseBody, requestHead } = await rig.recorder.ended()
    t.match(end, { outcome: 'complete', upgraded: true })
    t.equal(requestBody.toString(), 'ping')
    t.equal(responseBody.toString(), 'helloecho pingbye')
    t.match(requestHead, /realtime, openai-insecure-api-key\.fp_[0-9a-f]{32}\r\n/)
  },
)

t.test('intercepts plain HTTP to a governed host', async (t) => {
  const rig = await startRig({ tls: false, provider: answering(() => ANSWER) })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.match((await rig.recorder.ended()).open, { tls: false, serverName: NAME })
})

t.test(
  'leaves out the bodies of hosts whose bodies are never kept, and records only governed paths',
  async (t) => {
    const seen: string[] = []
    const rig = await startRig({
      provider: answering((request) => {
        seen.push(request)
        return 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret'
      }),
      decide: () => ({
        action: 'intercept',
        rule: 'r',
        name: NAME,
        provider: {
          id: 'p',
          telemetryName: 'p',
          style: 'opaque',
          hosts: [],
          unconfirmed: [],
          keepBodies: false,
          paths: ['/ai/*'],
        },
      }),
    })
    t.teardown(() => rig.stop())
    rig.recorder.mode = 'silent'
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(`POST /dns HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 5\r\n\r\nhello`)
    await read.until('secret')
    t.equal(rig.recorder.frames.length, 0)
    rig.recorder.mode = 'durable'
    read.clear()
    agent.write(`POST /ai/x HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 5\r\n\r\nhello`)
    await read.until('secret')
    const { types } = await rig.recorder.ended()
    t.same(types, [1, 2, 4, 5, 7])
    t.equal(seen.length, 2)
  },
)

t.test(
  'a call that hands out a key is recorded without its bodies, on a host that serves models too',
  async (t) => {
    const rig = await startRig({
      provider: answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret'),
    })
    t.teardown(() => rig.stop())
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(`POST /v1/oauth/token HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 5\r\n\r\nhello`)
    await read.until('secret')
    t.same((await rig.recorder.ended()).types, [1, 2, 4, 5, 7])
  },
)

const tick = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms))
