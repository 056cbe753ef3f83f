/** What a slow or silent peer can hold on to, on either leg. The worker's clock is moved on instead of waited for. */
import { once } from 'node:events'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { aLook, pass, restoreClock } from './proxy-clock.ts'
import { answering, NAME, reading, startRig } from './proxy-rig.ts'
import { startWebSocketRig } from './web-socket-rig.ts'

t.teardown(restoreClock)

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

t.test('a head that trickles is refused after 30 seconds from its first byte, with a record', async (t) => {
  const rig = await startRig({ provider: answering(() => ANSWER) })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write('POST /v1/chat/completions HTTP/1.1\r\n')
  for (let step = 0; step < 2; step++) {
    await aLook()
    pass(8000)
    agent.write(`X-Slow-${step}: 1\r\n`)
  }
  await aLook()
  t.equal(read.text, '', 'it still has time')
  pass(15_000)
  await read.until('end')
  t.match(read.text, /^HTTP\/1.1 408 .*request_timeout/s)
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { reason: /^request_timeout: / })
  t.equal(rig.provided.filter((socket) => socket.bytesRead > 0).length, 0, 'the provider got nothing')
})

t.test('a body that stops for 300 seconds is refused and recorded; one that goes on is not', async (t) => {
  const rig = await startRig({ provider: answering(() => ANSWER) })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`POST /v1/responses HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 10\r\n\r\n`)
  for (let byte = 0; byte < 3; byte++) {
    agent.write('x')
    await rig.recorder.until(
      () => rig.recorder.frames.filter(({ type }) => type === FrameType.RequestBody).length > byte,
    )
    pass(250_000)
    await aLook()
  }
  t.equal(read.text, '', 'each byte gives it another 300 seconds')
  pass(100_000)
  await read.until('end')
  t.match(read.text, /^HTTP\/1.1 408 /)
  const { end, requestBody } = await rig.recorder.ended()
  t.match(end, { outcome: 'protocol-error', error: { code: 'request_timeout' } })
  t.equal(requestBody.toString(), 'xxx')
})

t.test(
  'a connection that is idle for 300 seconds is closed; one whose answer takes long is not',
  async (t) => {
    let answer = () => {}
    const rig = await startRig({
      provider: answering((_, socket) => {
        answer = () => void socket.write(ANSWER)
        return undefined
      }),
    })
    t.teardown(() => rig.stop())
    const [idle, waiting] = [reading(await rig.agent()), await rig.agent()]
    const read = reading(waiting)
    waiting.write(`GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestEnd))
    await aLook()
    pass(301_000)
    await idle.until('end')
    t.equal(read.ended, false)
    answer()
    await read.until('ok')
  },
)

t.test('heads above 64 KiB are refused on both legs, at the byte that is too much', async (t) => {
  const rig = await startRig({
    provider: answering((_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nX-Long: ${'y'.repeat(70_000)}`)
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\nX-Long: ${'x'.repeat(70_000)}`)
  await read.until('end')
  t.match(read.text, /^HTTP\/1.1 431 .*head_too_large/s)
  const other = await rig.agent()
  const otherRead = reading(other)
  other.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await otherRead.until('end')
  t.match(otherRead.text, /^HTTP\/1.1 502 .*upstream_protocol_error/s)
  t.match((await rig.recorder.ended()).end, { outcome: 'protocol-error' })
})

t.test('an answer that trickles byte by byte is passed on as it comes, at little cost', async (t) => {
  const head = `HTTP/1.1 200 OK\r\nX-Long: ${'y'.repeat(20_000)}\r\nContent-Length: 2000\r\n\r\n`
  const answer = Buffer.from(head + 'z'.repeat(2000))
  const rig = await startRig({
    provider: answering((_, socket) => {
      socket.setNoDelay(true)
      let at = 0
      const next = () => {
        if (at < answer.length) socket.write(answer.subarray(at, ++at), next)
      }
      next()
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await read.until(answer.length, 20_000)
  t.ok(read.bytes.equals(answer))
})

t.test(
  'a WebSocket’s turn ends in silence where nothing tells its end, and after 30 minutes where one should',
  async (t) => {
    const rig = await startWebSocketRig((ws) =>
      ws.on('message', (data) =>
        ws.send(String(data) === 'known' ? '{"type":"response.created"}' : `echo ${data}`),
      ),
    )
    t.teardown(() => rig.stop())
    const unknown = await rig.open()
    unknown.ws.send('hello')
    await once(unknown.ws, 'message')
    const known = await rig.open()
    known.ws.send('known')
    await once(known.ws, 'message')
    pass(11_000)
    const [silent] = await rig.turns(1)
    t.same([silent?.client, silent?.end?.outcome], [['hello'], 'complete'])
    pass(1_700_000)
    await aLook()
    known.ws.send('goes on')
    await once(known.ws, 'message')
    pass(110_000)
    const [, long] = await rig.turns(2)
    t.same([long?.client, long?.end?.outcome], [['known', 'goes on'], 'complete'])
    t.same([unknown.ws.readyState, known.ws.readyState], [1, 1], 'the connections live on')
  },
)
