/** A worker that is told to drain: what is under way ends, who comes meanwhile is served, and what stays is cut. */
import type { Socket } from 'node:net'
import t from 'tap'
import { movement } from '../../daemon/proxy/movement.ts'
import { answering, NAME, reading, startRig } from './proxy-rig.ts'

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone'
const LONG = 60_000

/** A provider that answers at once, but `/slow` only when it is told. */
async function slowRig() {
  let slow: Socket | undefined
  const rig = await startRig({
    provider: answering((text, socket) => {
      if (!text.includes('/slow')) return ANSWER
      slow = socket
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun')
      return undefined
    }),
  })
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(request('/slow'))
  await read.until('begun')
  return { rig, agent, read, finish: () => slow?.write('ended') }
}

/** Whether a promise is settled by now. */
const settled = (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => true), new Promise<boolean>((no) => setImmediate(() => no(false)))])

t.test('waits for an answer under way, and serves who comes meanwhile', async (t) => {
  const { rig, read, finish } = await slowRig()
  t.teardown(() => rig.stop())
  const drained = rig.worker.drain(LONG)
  const other = await rig.agent()
  const answered = reading(other)
  other.write(request('/quick'))
  await answered.until('done')
  t.notOk(await settled(drained), 'the first is waited for')
  finish()
  await read.until('begunended')
  await read.until('end')
  await drained
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  t.notOk(other.destroyed, 'the new one stays open')
})

t.test('closes idle connections and does not wait for them', async (t) => {
  const rig = await startRig({ provider: answering(() => ANSWER) })
  t.teardown(() => rig.stop())
  const idle = reading(await rig.agent())
  const drained = rig.worker.drain(LONG)
  await idle.until('end')
  await drained
})

t.test('what outlives its time is cut by the stop, and its record says that it is not whole', async (t) => {
  const { rig, read } = await slowRig()
  t.teardown(() => rig.stop())
  await rig.worker.drain(1)
  t.notOk(read.text.includes('ended'))
  await rig.worker.stop()
  const { end } = await rig.recorder.ended()
  t.not(end?.outcome, 'complete')
  t.type(end?.outcome, 'string')
})

t.test('of what is passed on, only what moves is waited for', (t) => {
  let now = 0
  const socket = { bytesRead: 10, bytesWritten: 0, destroyed: false }
  const gone = { bytesRead: 0, bytesWritten: 0, destroyed: true }
  const moves = movement([socket, gone], () => now)
  t.ok(moves(), 'that nothing moves shows only after a while')
  now = 400
  socket.bytesWritten = 5
  t.ok(moves())
  now = 800
  t.ok(moves(), 'half a second since it moved is not over')
  now = 900
  t.notOk(moves())
  t.end()
})

t.test('nothing passed on: nothing moves', (t) => {
  t.notOk(movement([])())
  t.end()
})
