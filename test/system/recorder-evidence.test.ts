/** The supervisor's evidence on its way through the recorder's process. No root and no network needed. */
import { randomUUIDv7 } from 'node:crypto'
import t from 'tap'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { startMessage, temporaryDirectory } from '../unit/recorder-fixtures.ts'
import { startRecorder } from '../unit/recorder-process.ts'
import { damage, records } from './recorder-store.ts'

// Processes are started and killed, and damage is looked at twice.
t.setTimeout(180_000)

t.test(
  "the supervisor's evidence is in the log once, whatever becomes of the recorder that it was sent to",
  async (t) => {
    const start = startMessage(temporaryDirectory())
    const first = await startRecorder(start)
    const id = () => randomUUIDv7()
    const seen = {
      ...{
        reason: 'past the proxy',
        protocol: 'udp',
        agent: { uid: 1000, processes: [{ pid: 5, name: 'x' }] },
      },
      ...{ client: { address: '10.0.0.2', port: 4000 }, destination: { address: '203.0.113.10', port: 443 } },
      ...{ from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 0, 1, 0, 0, 10), policy: 'ab'.repeat(32) },
    }
    const evidence = [
      { type: 'audit', id: id(), event: 'start', detail: { version: '1' } },
      {
        type: 'gap',
        id: id(),
        cause: 'ruleset-changed',
        from: seen.from,
        to: seen.to,
        detail: { by: 'nft' },
      },
      { type: 'refusal', id: id(), rule: 'aa:udp', count: 41, via: 'kernel', ...seen },
      {
        type: 'leak',
        id: id(),
        rule: 'client-hello',
        count: 1,
        via: 'sensor',
        serverName: 'api.openai.com',
        ...seen,
      },
    ]
    const confirmed = new Set<string>()
    const listen = (recorder: Awaited<ReturnType<typeof startRecorder>>) =>
      recorder.child.on('message', (message: { type: string; ids?: string[] }) => {
        if (message.type === 'recorded') for (const one of message.ids ?? []) confirmed.add(one)
      })
    listen(first)
    for (const one of evidence) first.child.send(one)
    await first.state(() => confirmed.size === evidence.length)
    t.same([...confirmed].sort(), evidence.map((one) => one.id).sort(), 'each is confirmed')
    await first.kill()

    const second = await startRecorder(start)
    confirmed.clear()
    listen(second)
    for (const one of evidence) second.child.send(one)
    const late = { ...evidence[2], id: undefined, count: 2 }
    second.child.send(late)
    await second.state((s) => confirmed.size === evidence.length && s.pending === 0)
    t.equal(await second.stop(), 0)

    const all = records(start)
    for (const { id, type } of evidence) {
      t.match(
        all.filter((record) => record.id === id),
        { length: 1, 0: { kind: type } },
        `${type} once`,
      )
    }
    const [refusal, leak] = ['refusal', 'leak'].map((kind) => all.findLast((record) => record.kind === kind))
    const span = {
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-01T00:00:10.000Z',
      time: '2026-01-01T00:00:10.000Z',
    }
    const policy = { hash: 'ab'.repeat(32) }
    t.match(refusal, {
      ...{ ...span, policy, rule: 'aa:udp', count: 41, via: 'kernel', protocol: 'udp', client: seen.client },
      ...{ originalDestination: seen.destination, agent: seen.agent },
    })
    t.match(leak, { ...span, policy, destination: seen.destination, serverName: 'api.openai.com', count: 1 })
    t.match(
      all.find((record) => record.kind === 'gap' && record.cause === 'ruleset-changed'),
      { from: span.from, to: span.to, detail: { by: 'nft' } },
    )
    const index = openIndex(start.stateDir)
    t.equal(index.list({ kind: 'refusal' }).length, 2, 'what has no id is recorded under one of its own')
    t.match(index.list({ kind: 'leak', uid: 1000 }), [{ kind: 'leak', uid: 1000 }])
    index.close()
    t.same(await damage(start), [])
  },
)

t.test('evidence that can not be read becomes a gap, is confirmed, and stops nothing', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const id = randomUUIDv7()
  const confirmed = new Promise((resolve) => {
    recorder.child.on(
      'message',
      (message: { type: string }) => message.type === 'recorded' && resolve(message),
    )
  })
  for (const odd of [{ type: 'leak', id, rule: 'x', count: 0 }, 'nonsense', null])
    recorder.child.send(odd as object)
  t.same(await confirmed, { type: 'recorded', ids: [id] })
  await recorder.state((s) => s.records === 3)
  t.equal(await recorder.stop(), 0)
  const all = records(start)
  t.match(
    all.find((record) => record.id === id),
    { kind: 'gap', cause: 'evidence-unreadable', detail: { what: /count/ } },
  )
})
