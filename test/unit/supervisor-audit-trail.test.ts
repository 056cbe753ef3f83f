import t from 'tap'
import type { Evidence, Sighting } from '../../daemon/recorder/messages.ts'
import { auditTrail } from '../../daemon/supervisor/audit-trail.ts'

const sighting = (count: number, type: 'refusal' | 'leak' = 'refusal'): Sighting => ({
  ...{ type, rule: 'udp', reason: 'past the proxy', protocol: 'udp', agent: { uid: 1000 } },
  ...{ destination: { address: '203.0.113.10', port: 443 }, count, from: 1000, to: 2000, via: 'kernel' },
})

/** A recorder that listens or doesn't. */
function recorder() {
  const got: Evidence[] = []
  const state = { listens: true }
  const send = (message: object) => {
    if (state.listens) got.push(message as Evidence)
    return state.listens
  }
  return { got, state, send, ids: () => got.map(({ id }) => id as string) }
}

t.test('acts, gaps, refusals and leaks go in one order, each with an id', async (t) => {
  const { got, state, send } = recorder()
  const trail = auditTrail(send)
  state.listens = false
  trail.write('start', { policy: 'x' })
  trail.gap('ruleset-changed', 1000, 2000, { by: 'nft' })
  trail.sighting(sighting(3))
  t.equal(got.length, 0)
  state.listens = true
  trail.sighting(sighting(1, 'leak'))
  t.match(got, [
    { type: 'audit', event: 'start', time: Number },
    { type: 'gap', cause: 'ruleset-changed', from: 1000, to: 2000, detail: { by: 'nft' } },
    { type: 'refusal', count: 3 },
    { type: 'leak' },
  ])
  t.equal(new Set(got.map(({ id }) => id)).size, 4)
  t.notOk(got.some(({ id }) => id === undefined))
})

t.test(
  'what a recorder did not confirm before its end is sent to the next one, under the same id',
  async (t) => {
    const { got, state, send, ids } = recorder()
    const trail = auditTrail(send)
    trail.write('one', {})
    trail.write('two', {})
    const [one, two] = ids()
    trail.recorded([one as string])
    state.listens = false
    trail.lost()
    trail.write('three', {})
    state.listens = true
    trail.flush()
    t.same(
      got.slice(2).map((one) => (one.type === 'audit' ? [one.event, one.id === two] : undefined)),
      [
        ['two', true],
        ['three', false],
      ],
    )
    trail.recorded(ids())
    trail.lost()
    trail.flush()
    t.equal(got.length, 4, 'and what was confirmed is not sent again')
  },
)

t.test('an overflow is told exactly, once there is room, and before what came after it', async (t) => {
  const { got, state, send, ids } = recorder()
  const trail = auditTrail(send, { mostWaiting: 3 })
  state.listens = false
  for (let i = 0; i < 3; i++) trail.write(`kept-${i}`, {})
  trail.sighting(sighting(5))
  trail.sighting({ ...sighting(7), from: 500, to: 9_000_000_000_000 })
  trail.sighting(sighting(2, 'leak'))
  trail.write('too-much', {})
  state.listens = true
  trail.flush()
  t.equal(got.length, 3, 'no room yet: nothing is confirmed')
  trail.recorded(ids())
  trail.write('later', {})
  t.match(got.slice(3), [
    {
      type: 'gap',
      cause: 'evidence-overflow',
      from: 500,
      to: 9_000_000_000_000,
      detail: { audit: 1, refusal: 2, 'refusal.count': 12, leak: 1, 'leak.count': 2 },
    },
    { event: 'later' },
  ])
})
