/** What is held of a WebSocket's messages until they are judged: counted with all that the worker holds, and bounded. */
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { MAX_HELD } from '../../daemon/proxy/examination/examination.ts'
import type { Judged } from '../../daemon/proxy/examination/judged.ts'
import type { Governed } from '../../daemon/proxy/relay/facts.ts'
import { ExaminedMessages } from '../../daemon/proxy/web-socket/examined-messages.ts'
import { clientFrame } from '../../daemon/proxy/web-socket/frames.ts'
import { rulesOf } from './proxy-rig.ts'

const governed: Governed = {
  name: 'api.openai.com',
  provider: { id: 'openai', telemetryName: 'openai', style: 'openai-chat', keepBodies: true },
  originalDestination: { address: '192.0.2.1', port: 443 },
  agent: {},
  client: { address: '192.0.2.2', port: 1 },
  tls: true,
  rule: 'r',
}

/** A client that says what it says to a rule that looks for secrets. */
function talker(holding: { bytes: number }) {
  const { policy } = rulesOf('standard', {
    traffic: { rules: [{ name: 'r', action: 'block', content: ['secrets'] }] },
  })
  const passed: Buffer[] = []
  const blocked: Judged[] = []
  const failures: unknown[] = []
  const request = { method: 'GET', target: '/v1/realtime' }
  const messages = new ExaminedMessages(
    { policy, holding },
    governed,
    request,
    { unknown: false },
    {
      pass: (bytes) => passed.push(bytes),
      rewritten: () => {},
      blocked: (judged) => blocked.push(judged),
      failed: (error) => failures.push(error),
      pause: () => {},
    },
  )
  return { messages, passed, blocked, failures }
}

const half = (text: string) => {
  const frame = clientFrame('text', Buffer.from(text))
  frame[0] = 1
  return frame
}
const ping = clientFrame('ping', Buffer.alloc(125))

t.test('what came of a message counts as sent and as read, until it goes on', async (t) => {
  const holding = { bytes: 0 }
  const { messages, passed } = talker(holding)
  const said = half('x'.repeat(10_000))
  messages.push(said)
  t.ok(holding.bytes > 20_000, 'the frame, and what it says')
  messages.push(ping)
  const end = clientFrame('text', Buffer.from('y'))
  end[0] = 0x80
  messages.push(end)
  await new Promise<void>((resolve) => messages.whenDone(resolve))
  t.same(Buffer.concat(passed), Buffer.concat([said, ping, end]))
  t.equal(holding.bytes, 0)
})

t.test('an agent that goes away gives back what was held of it', (t) => {
  const holding = { bytes: 0 }
  const { messages } = talker(holding)
  messages.push(half('x'.repeat(1000)))
  messages.push(ping)
  t.match(messages.stop(), { kind: 'text' })
  t.equal(holding.bytes, 0)
  t.end()
})

t.test('pings and empty fragments find no room either where all of it is taken', async (t) => {
  for (const more of [ping, Buffer.concat([Buffer.from([0x00, 0x80]), Buffer.alloc(4)])]) {
    const others = MAX_HELD - 100_000
    const holding = { bytes: others }
    const { messages, blocked, failures } = talker(holding)
    messages.push(half('half of it'))
    for (let n = 0; n < 1000 && blocked.length === 0; n++) {
      messages.push(more)
      await setImmediate()
    }
    t.match(blocked, [{ action: 'block', unknown: ['content'] }], 'judged as what can’t be told')
    t.same(failures, [])
    t.equal(holding.bytes, others)
  }
})
