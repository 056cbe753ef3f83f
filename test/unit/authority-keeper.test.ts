/** The CA while the gateway runs: what it takes up, whom it tells, and when the successor signs by itself. */
import t from 'tap'
import { authorityKeeper } from '../../daemon/supervisor/authority/keeper.ts'
import { fingerprintOf } from '../../daemon/supervisor/authority/note.ts'
import { stepRecorded, takeStep } from '../../daemon/supervisor/authority/rotation.ts'
import { begin, caIn, domains, openCa, step } from './authority-fixture.ts'

const DAY_MS = 86_400_000

async function rig(t: { testdir(): string }, needs: readonly string[] = domains) {
  const place = await caIn(t.testdir())
  await openCa(place)
  const told: string[] = []
  const recorded: string[] = []
  const errors: string[] = []
  const clock = { now: Date.now() }
  let changes = 0
  const start = async () =>
    authorityKeeper({
      source: {
        found: await openCa(place),
        reopen: () => openCa(place),
        distributed: () => takeStep(place, 'distributed', new Date(clock.now)),
        switch: () => takeStep(place, 'signing', new Date(clock.now)),
        async recorded(id) {
          recorded.push(id)
          await stepRecorded(place, id)
        },
      },
      overlapMs: 7 * DAY_MS,
      domains: () => needs,
      trail: { write: (event, detail, id) => void told.push(`${event} ${detail.step} ${id}`) },
      log: { info: () => {}, error: (text: string) => void errors.push(text) } as never,
      changed: () => {
        changes += 1
      },
      now: () => clock.now,
    })
  return { place, clock, told, recorded, errors, start, changes: () => changes }
}
const stepsIn = (told: readonly string[]) => told.map((each) => each.split(' ')[1])

t.test('each step is told once, and again after a start until its record is in the log', async (t) => {
  const { place, told, recorded, start, changes } = await rig(t)
  const keeper = await start()
  t.same(told, [])
  await begin(place)
  await keeper.reload()
  await keeper.reload()
  t.same(stepsIn(told), ['introduced'])
  t.equal(changes(), 1, 'workers hear that there is another CA')
  keeper.stop()
  const second = await start()
  t.same(stepsIn(told), ['introduced', 'introduced'])
  t.equal(new Set(told).size, 1, 'under the id of before')
  const id = told[0]?.split(' ')[2] ?? ''
  second.recorded(['another', id])
  await second.reload()
  t.same(recorded, [id])
  second.stop()
  const third = await start()
  t.equal(told.length, 2)
  third.stop()
})

t.test(
  'the successor signs by itself when the overlap is over, not before and not undistributed',
  async (t) => {
    const { place, clock, told, start, changes } = await rig(t)
    const [from = '', to = ''] = (await begin(place)).inOrder.map((each) =>
      fingerprintOf(each.certificatePem),
    )
    const signers = (keeper: Awaited<ReturnType<typeof start>>) => keeper.certificates().map(fingerprintOf)
    const at = async (now: number) => {
      clock.now = now
      const keeper = await start()
      await keeper.reload()
      keeper.stop()
      return keeper
    }
    const begun = Date.now()
    t.same(signers(await at(begun + 30 * DAY_MS)), [from, to], 'no store has it')
    await step(place, 'distributed')
    t.same(signers(await at(begun + 6 * DAY_MS)), [from, to])
    t.equal(changes(), 0)
    const keeper = await at(begun + 8 * DAY_MS)
    t.same(signers(keeper), [to, from])
    t.equal(changes(), 1, 'workers ask for their leaves again')
    t.equal(stepsIn(told).at(-1), 'signing')
    t.match(keeper.state(), {
      rotation: { step: 'signing', due: new Date(begun + 15 * DAY_MS).toISOString().slice(0, 10) },
    })
  },
)

t.test('the state says what neither CA may speak for, and which ones there are', async (t) => {
  const needs = [...domains, 'new.example']
  const { place, start } = await rig(t, needs)
  const keeper = await start()
  t.match(keeper.state(), { outgrown: ['new.example'], tooWide: false })
  t.equal(keeper.state().certificates.length, 1)
  await begin(place, 'every')
  await keeper.reload()
  const { outgrown, tooWide, certificates, rotation } = keeper.state()
  t.same({ outgrown, tooWide, step: rotation?.step }, { outgrown: [], tooWide: true, step: 'introduced' })
  t.equal(certificates.length, 2)
  keeper.stop()
})

t.test('a CA that can not be read again stays as it is, and the log says so', async (t) => {
  const { place, start, errors, changes } = await rig(t)
  const keeper = await start()
  const before = keeper.certificates()
  await begin(place)
  const { rm } = await import('node:fs/promises')
  await rm(`${place.dir}/ca.next.sealed`)
  await keeper.reload()
  t.match(errors, [/ca\.next\.sealed is missing/])
  t.same(keeper.certificates(), before)
  t.equal(changes(), 0)
  keeper.stop()
})
