/** The process behind a connection: asked for at accept, and in the record as soon as it is known. */
import t from 'tap'
import { type OwnerQuestion, Owners } from '../../daemon/proxy/owners.ts'
import { type Agent, FrameType } from '../../daemon/recorder/protocol.ts'
import { answering, NAME, type RigOptions, reading, startRig } from './proxy-rig.ts'

const REQUEST = `GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const found: Agent = {
  ...{ uid: 1000, inode: 42, gid: 1000, unit: 'agent.service' },
  processes: [{ pid: 7, name: 'agent', executable: '/opt/agent', sha256: 'ab'.repeat(32) }],
}

async function rigThat(answer: (question: OwnerQuestion) => void, options: Partial<RigOptions> = {}) {
  const rig = await startRig({
    provider: answering(() => ANSWER),
    askForOwner: (question) => answer(question),
    ...options,
  })
  t.teardown(() => rig.stop())
  return rig
}

t.test('what is known in time goes with the beginning of the record', async (t) => {
  const asked: OwnerQuestion[] = []
  const rig = await rigThat((question) => {
    asked.push(question)
    setImmediate(() => rig.worker.ownerFound(question.request, found))
  })
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  const { open, end } = await rig.recorder.ended()
  t.same(open.agent, found)
  t.notOk(end?.agent)
  t.match(asked, [{ family: 4, inode: 42, uid: 1000, client: { port: agent.localPort } }])
  t.equal(asked[0]?.destination.port, rig.providerPort)
})

t.test('what comes later goes with its end, and neither request nor answer waits', async (t) => {
  let question: OwnerQuestion | undefined
  const rig = await rigThat((asked) => {
    question = asked
  })
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.equal(
    rig.recorder.frames.some(({ type }) => type === 7),
    false,
    'the record waits a moment',
  )
  rig.worker.ownerFound(question?.request ?? 0, found)
  const { open, end } = await rig.recorder.ended()
  t.same(open.agent, { uid: 1000, inode: 42 })
  t.same(end?.agent, found)
})

t.test('the request of an agent that the kernel knows nothing of goes out when it is known', async (t) => {
  const order: string[] = []
  const rig = await rigThat(
    ({ request }) => {
      const known = () => {
        order.push('known')
        rig.worker.ownerFound(request, found)
      }
      const onDisk = rig.recorder.until(() =>
        rig.recorder.frames.some(({ type }) => type === FrameType.RequestEnd),
      )
      // Time enough for what doesn't wait.
      onDisk.then(() => setTimeout(known, 50))
    },
    {
      nobodys: true,
      provider: answering(() => {
        order.push('asked')
        return ANSWER
      }),
    },
  )
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.same(order, ['known', 'asked'])
  const { open, end } = await rig.recorder.ended()
  t.same(end?.agent ?? open.agent, found)
})

t.test('where nobody finds it either, its request goes out all the same', async (t) => {
  const rig = await rigThat(() => {}, { nobodys: true })
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  t.notOk((await rig.recorder.ended()).end?.agent)
})

t.test('without an answer the record has what the kernel said, half a second later', async (t) => {
  const rig = await rigThat(() => {})
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  const { open, end } = await rig.recorder.ended()
  t.same(open.agent, { uid: 1000, inode: 42 })
  t.notOk(end?.agent)
  t.ok((end?.heldMs as number) >= 300, 'and says how long it waited')
})

t.test('a worker that stops lets the records go that wait', async (t) => {
  const rig = await rigThat(() => {})
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(REQUEST)
  await read.until(ANSWER.length)
  const stopped = rig.worker.stop()
  const { end } = await rig.recorder.ended()
  t.match(end, { outcome: 'complete' })
  await stopped
})

t.test('an answer about another socket of the same name is not believed', async (t) => {
  const questions: OwnerQuestion[] = []
  const owners = new Owners((question) => questions.push(question))
  t.teardown(() => owners.stop())
  const flow = {
    family: 4 as const,
    client: { address: '10.0.0.1', port: 1 },
    destination: { address: '10.0.0.2', port: 2 },
  }
  const [same, other, unseen] = [{ uid: 1, inode: 5 }, { uid: 1, inode: 5 }, {}].map((agent) =>
    owners.of(flow, agent),
  )
  owners.answer(questions[0]?.request as number, { inode: 5, gid: 9 })
  owners.answer(questions[1]?.request as number, { inode: 6, uid: 2, gid: 9 })
  owners.answer(questions[2]?.request as number, { inode: 6, uid: 2, container: 'docker:x' })
  owners.answer(12345, { inode: 6 })
  t.same(same?.agent, { uid: 1, inode: 5, gid: 9 })
  t.same(other?.agent, { uid: 1, inode: 5 })
  t.same(unseen?.agent, { inode: 6, uid: 2, container: 'docker:x' })
  t.same([same?.pending, other?.pending, unseen?.pending], [undefined, undefined, undefined])
})

t.test('where nobody can be asked, or too much is asked, nothing waits', async (t) => {
  const flow = {
    family: 4 as const,
    client: { address: '10.0.0.1', port: 1 },
    destination: { address: '10.0.0.2', port: 2 },
  }
  t.equal(new Owners(undefined).of(flow, {}).pending, undefined)
  let asked = 0
  const owners = new Owners(() => {
    asked += 1
  })
  const all = Array.from({ length: 9000 }, () => owners.of(flow, {}))
  t.equal(asked, 8192)
  t.equal(all.at(-1)?.pending, undefined)
  owners.stop()
  t.ok(all.every(({ pending }) => pending === undefined))
})
