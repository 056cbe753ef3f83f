/** A full disk: governed calls are refused with the reason, other traffic flows, and nothing is lost. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import t from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { caused, remedied } from '../lab/health.ts'
import { startLab } from '../lab/lab.ts'
import { PATH } from '../lab/places.ts'

t.setTimeout(120_000)
await enterLab(import.meta.url)
const lab = await startLab()
// A file system of its own for the recorder, small enough to be filled.
mkdirSync('/var/lib/agent-anchor/recorder', { recursive: true })
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'small', '/var/lib/agent-anchor/recorder'], {
  env: { PATH },
})
const gateway = await startGateway()
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

// More than the last pages of files that are there already could hold.
const body = JSON.stringify({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'x'.repeat(300_000) }],
})
const call = () =>
  lab.run(
    'agent1',
    [
      ...['curl', '-sS', '--max-time', '8', '-w', '\\n%{http_code}', '-H', 'Authorization: Bearer sk-x'],
      ...['-H', 'content-type: application/json', '-H', 'x-lab: size=10', '--data-binary', '@-'],
      'https://api.openai.com/v1/chat/completions',
    ],
    { input: body },
  )
/** Requests that a provider got whole. A long one is on its way before its end is refused, and is cut then. */
const whole = async () =>
  (await lab.wireLog())
    .flatMap(({ exchanges }) => exchanges)
    .filter((seen) => seen.body.length >= body.length).length
let passed = 1
const states = async () => (await readLiveState(gateway.config)).health
const FILLER = '/var/lib/agent-anchor/recorder/filler'

t.test('works before', async (t) => t.match((await call()).stdout, /\n200$/))

t.test('an upload that the disk has no room for is cut, and leaves room for others', async (t) => {
  const upload = await lab.run(
    'agent1',
    [
      ...['curl', '-sS', '--max-time', '8', '-H', 'Authorization: Bearer sk-x', '-H', 'Expect:'],
      ...['--data-binary', '@-', 'https://api.openai.com/v1/files'],
    ],
    { input: randomBytes(30 << 20) },
  )
  t.notMatch(upload, { code: 0, stdout: /"object"/ })
  const newest = async () => {
    const { records } = (await gateway.json('records', '--kind', 'exchange')) as {
      records: { record: { outcome: string; error?: { code: string } } }[]
    }
    return records[0]?.record
  }
  const end = Date.now() + 20_000
  while ((await newest())?.outcome === 'complete' && Date.now() < end);
  t.match(await newest(), { outcome: 'not-recorded', error: { code: 'NO_SPACE' } })
  t.match((await call()).stdout, /\n200$/)
  while ((await states()).length > 0 && Date.now() < end);
  t.same(await states(), [])
  passed = await whole()
})

t.test('with less free than the reserve calls are refused before anything fails half way', async (t) => {
  // The reserve is a fiftieth of the file system, 480 KiB here.
  const { bavail, bsize } = statfsSync('/var/lib/agent-anchor/recorder')
  const count = Math.floor(bavail - (300 << 10) / bsize)
  execFileSync('dd', ['if=/dev/zero', `of=${FILLER}`, `bs=${bsize}`, `count=${count}`], {
    env: { PATH },
    stdio: 'ignore',
  })
  const end = Date.now() + 20_000
  const { remedy } = await caused(t, states, 'recorder.space')
  t.match(remedy, /Free space/)
  const noticed = async () => /governed calls are refused/.test((await gateway.cli('status')).stdout)
  while (!(await noticed()) && Date.now() < end);
  const refused = await call()
  t.match(refused.stdout, /recorder_unavailable.*no space left for records.*NO_SPACE/is)
  t.match(refused.stdout, /\n503$/)
  t.equal((await gateway.cli('status')).code, 4)
  rmSync(FILLER)
  await remedied(t, states, 'recorder.space')
  while (!/\n200$/.test((await call()).stdout) && Date.now() < end);
  passed = await whole()
})

t.test(
  'a full disk refuses governed calls with 503 and the reason, and no whole request reaches the provider',
  async (t) => {
    t.throws(() =>
      execFileSync('dd', ['if=/dev/zero', `of=${FILLER}`, 'bs=64k'], { env: { PATH }, stdio: 'ignore' }),
    )
    const refused = await call()
    t.match(refused.stdout, /agent_anchor_gateway.*recorder_unavailable.*(ENOSPC|no space)/is)
    t.match(refused.stdout, /\n503$/)
    t.equal(await whole(), passed, 'the provider has the requests of before only')
    const plain = await lab.run('agent1', ['curl', '-sS', '--max-time', '5', 'https://www.example.org/'])
    t.equal(plain.code, 0, 'other traffic flows')
    const status = await gateway.cli('status')
    t.equal(status.code, 4, 'status is degraded')
    t.match(status.stdout, /Free space/)
    await caused(t, states, 'recorder.journal')
  },
)

t.test('with space again calls work, the gap is a record, and everything verifies', async (t) => {
  rmSync(FILLER)
  const end = Date.now() + 20_000
  let again = await call()
  while (!/\n200$/.test(again.stdout) && Date.now() < end) again = await call()
  t.match(again.stdout, /\n200$/)
  await remedied(t, states, 'recorder.journal')
  const gaps = async () => {
    const { records } = (await gateway.json('records', '--kind', 'gap')) as {
      records: { record: { cause: string } }[]
    }
    return records.map(({ record }) => record.cause)
  }
  // What could not be written is tried again less and less often.
  let found = await gaps()
  while (!found.some((cause) => /could not be recorded/.test(cause)) && Date.now() < end) found = await gaps()
  t.ok(
    found.some((cause) => /could not be recorded/.test(cause)),
    JSON.stringify(found),
  )
  t.equal((await gateway.json('verify', '--offline')).verified, true)
  const after = await gateway.cli('status')
  t.equal(after.code, 0, after.stdout)
})
