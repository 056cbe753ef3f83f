/** A provider that answers before it has the whole request. */
import type { Socket } from 'node:net'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { NAME, reading, startRig } from './proxy-rig.ts'

const POST = `POST /v1/files HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 10\r\n\r\n`
const GET = `GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
const DENIED = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** What reached the provider, and its connection. */
async function begun() {
  const { promise, resolve } = Promise.withResolvers<Socket>()
  const rig = await startRig({ provider: resolve })
  const agent = await rig.agent()
  const provider = await promise
  return { rig, agent, provider, answer: reading(agent), request: reading(provider) }
}

/** The same once the agent has its answer, and sent half of its request. */
async function denied() {
  const parts = await begun()
  parts.agent.write(`${POST}hello`)
  await parts.request.until('hello')
  parts.provider.write(DENIED)
  await parts.answer.until(DENIED)
  return parts
}

t.test('the rest of the request reaches the provider, and both connections go on', async (t) => {
  const { rig, agent, provider, answer, request } = await denied()
  t.teardown(() => rig.stop())
  agent.write(`world${GET}`)
  await request.until(GET)
  provider.write(OK)
  t.equal(await answer.until(OK), DENIED + OK)
  t.equal(request.text, `${POST}helloworld${GET}`)
  t.equal(rig.provided.length, 1)
  const { end, requestBody, responseBody } = await rig.recorder.ended()
  t.match(end, { outcome: 'complete' })
  t.equal(requestBody.toString(), 'helloworld')
  t.equal(responseBody.toString(), 'no')
})

t.test('what waits for the disk reaches it, too', async (t) => {
  const { rig, agent, provider, answer, request } = await begun()
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'silent'
  agent.write(`${POST}hello`)
  await request.until('hello')
  agent.write('world')
  await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestEnd))
  provider.write(DENIED)
  await answer.until(DENIED)
  rig.recorder.answer(1, true)
  await request.until('helloworld')
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
})

t.test('a provider that closes after it has had enough: the agent’s connection ends', async (t) => {
  const { rig, agent, provider, answer } = await denied()
  t.teardown(() => rig.stop())
  provider.destroy()
  // That it was closed, and not only ended, shows when something is written to it.
  const ended = rig.recorder.ended()
  for (const byte of 'worl') {
    agent.write(byte)
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20))])
  }
  t.equal(await answer.until('end'), DENIED)
  t.match((await ended).end, { outcome: 'complete' })
})

for (const [what, head] of [
  ['by length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'],
  ['by its end', 'HTTP/1.1 200 OK\r\n\r\n'],
] as const) {
  t.test(`a provider that ends its side after its answer, ${what}, reads on: so it is here`, async (t) => {
    const { rig, agent, provider, answer, request } = await begun()
    t.teardown(() => rig.stop())
    agent.write(`${POST}hello`)
    await request.until('hello')
    provider.end(`${head}ok`)
    t.equal(await answer.until('end'), `${head}ok`)
    agent.write('world')
    t.equal(await request.until('helloworld'), `${POST}helloworld`)
    const { end, requestBody, responseBody } = await rig.recorder.ended()
    t.match(end, { outcome: 'complete' })
    t.equal(requestBody.toString(), 'helloworld')
    t.equal(responseBody.toString(), 'ok')
    await request.until('end')
  })
}

t.test('an agent that has its answer and goes away before it has said all was answered', async (t) => {
  const { rig, agent, request } = await denied()
  t.teardown(() => rig.stop())
  agent.destroy()
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  await request.until('end')
})
