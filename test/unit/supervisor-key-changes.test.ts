/** How a running gateway takes up rotations: what it tells the log, when it starts the recorder anew, when a key ends. */
import t from 'tap'
import { keyChanges } from '../../daemon/supervisor/key-changes.ts'
import type { GatewayKeys } from '../../daemon/vault/gateway-keys.ts'
import type { Change } from '../../daemon/vault/history.ts'

const change = (id: string, key: Change['key'], pending: boolean): Change => ({
  id,
  time: '2026-11-26T06:00:00.000Z',
  key,
  from: `old ${key}`,
  to: `new ${key}`,
  note: 'both signed',
  ...(pending ? { pending: true } : {}),
})

function rig(first: Change[], ...later: (Change[] | Error)[]) {
  const settled: string[] = []
  const told: string[] = []
  const errors: string[] = []
  let renewed = 0
  const keysWith = (changes: Change[]) =>
    ({
      changes,
      async settle(id: string) {
        settled.push(id)
      },
    }) as unknown as GatewayKeys
  const changes = keyChanges({
    identity: {
      gateway: keysWith(first),
      async reopen() {
        const next = later.shift()
        if (next === undefined || next instanceof Error) throw next ?? new Error('no more')
        return keysWith(next)
      },
    },
    trail: { write: (event, _detail, id) => void told.push(`${event} ${id}`) },
    log: { info: () => {}, error: (text: string) => void errors.push(text) } as never,
    renew: () => {
      renewed += 1
    },
  })
  return { changes, settled, told, errors, renewed: () => renewed }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('each start tells the log of all changes; a key ends when its record is there, once', async (t) => {
  const { changes, settled, told, renewed } = rig([change('1', 'log', false), change('2', 'body', true)])
  t.same(told, ['key-rotated 1', 'key-rotated 2'])
  changes.recorded(['another'])
  await turn()
  t.same(settled, [])
  changes.recorded(['2', '2'])
  changes.recorded(['2'])
  await turn()
  t.same(settled, ['2'])
  t.equal(renewed(), 0)
})

t.test('what was prepared since comes into force with a new recorder', async (t) => {
  const before = change('1', 'log', false)
  const { changes, told, renewed } = rig([before], [before], [before, change('2', 'log', true)])
  const first = changes.current()
  await changes.reload()
  t.equal(renewed(), 0, 'nothing was')
  t.equal(changes.current(), first)
  await changes.reload()
  t.equal(renewed(), 1)
  t.not(changes.current(), first)
  t.same(told, ['key-rotated 1', 'key-rotated 2'])
})

t.test("the workers' fingerprint key waits for the next start", async (t) => {
  const { changes, told, renewed } = rig([], [change('2', 'fingerprint', true)])
  const first = changes.current()
  await changes.reload()
  t.equal(changes.current(), first)
  t.equal(renewed(), 0)
  t.same(told, [])
})

t.test('keys that can not be read again stay as they are, and the log says so', async (t) => {
  const { changes, errors, renewed } = rig([], new Error('the token is gone'))
  const first = changes.current()
  await changes.reload()
  t.equal(changes.current(), first)
  t.equal(renewed(), 0)
  t.match(errors, [/the token is gone/])
})
