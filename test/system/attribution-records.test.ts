/** The process behind an agent's call, in the record of the call: the whole gateway, real clients, real kernel. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'
import { collect } from '../lab/process.ts'

t.setTimeout(180_000)
await enterLab(import.meta.url)
const lab = await startLab()
const gateway = await startGateway()
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

interface Listed {
  readonly id: string
  readonly uid: number | null
  readonly record: { readonly agent?: Record<string, unknown> & { readonly processes?: object[] } }
}

/** The newest records of a kind once there are so many. */
async function listed(kind: string, count: number): Promise<Listed[]> {
  const end = Date.now() + 10_000
  for (;;) {
    const { records } = (await gateway.json('records', '--kind', kind)) as { records: Listed[] }
    if (records.length >= count || Date.now() > end) return records
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const sha256 = createHash('sha256').update(readFileSync('/usr/bin/curl')).digest('hex')

t.test("a call's record names the program, and so do the listing and `show`", async (t) => {
  for (const family of ['-4', '-6']) {
    const { code, stdout } = await lab.run(
      'agent1',
      curlCommand(chatCall('sk-a', `whose ${family}`), [family]),
    )
    t.equal(code, 0)
    t.match(stdout, /200 OK/)
  }
  const rows = await listed('exchange', 2)
  t.equal(rows.length, 2)
  for (const { uid, record } of rows) {
    t.equal(uid, 4001)
    t.match(record.agent, {
      ...{ uid: 4001, gid: 4001, inode: Number },
      processes: [{ pid: Number, name: 'curl', executable: '/usr/bin/curl', sha256 }],
    })
    t.equal(record.agent?.processes?.length, 1)
  }
  const list = await gateway.cli('records')
  t.match(list.stdout, /uid 4001 \(curl\)/)
  const shown = await gateway.cli('show', rows[0]?.id as string)
  t.match(shown.stdout, /^agent\.processes\.1\.executable +\/usr\/bin\/curl$/m)
  t.match(shown.stdout, new RegExp(`^agent\\.processes\\.1\\.sha256 +${sha256}$`, 'm'))
})

t.test('what a program calls itself can not write to the screen', async (t) => {
  const name = '\u001b[2J\u009b\u202e'
  const script = `import ctypes, urllib.request
ctypes.CDLL(None).prctl(15, ${JSON.stringify(name)}.encode(), 0, 0, 0)
request = urllib.request.Request('https://api.openai.com/v1/models', headers={'Authorization': 'Bearer sk-b'})
try:
  print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
  print(error.code)`
  const { stdout, stderr } = await lab.run('agent2', ['/usr/bin/python3', '-c', script])
  t.match(stdout, /^\d{3}$/m, stderr)
  const [row] = await listed('exchange', 3)
  t.match(row?.record.agent, { uid: 4002, processes: [{ name, executable: /python3/ }] })
  for (const argv of [['records'], ['show', row?.id as string], ['records', '--json']]) {
    const { stdout } = await gateway.cli(...argv)
    t.notMatch(stdout, /[\u001b\u009b\u202e]/, argv.join(' '))
  }
})

t.test('a refused connection is told with its program too', async (t) => {
  const command = ['/usr/bin/curl', '-sk', '--max-time', '10', 'https://203.0.113.10/v1/models']
  t.not((await lab.run('agent1', command)).code, 0)
  const rows = await listed('refusal', 1)
  t.match(rows[0]?.record.agent, { uid: 4001, processes: [{ name: 'curl', sha256 }] })
})

t.test("a bridged container's call is told by its socket in there", async (t) => {
  const command = curlCommand(chatCall('sk-c', 'from the container'), ['-4', '-k'])
  const { code, stderr } = await collect(spawnIn('container', 'agent1', command, { stdio: 'pipe' }))
  t.equal(code, 0, stderr)
  const rows = await listed('exchange', 4)
  t.match(rows[0]?.record.agent, { uid: 4001, inode: Number, processes: [{ name: 'curl', sha256 }] })
})

t.test('what was refused and counted before the recorder was killed is in the log after', async (t) => {
  const state = await gateway.state()
  const recorder = state?.children.find(({ name }) => name === 'recorder')?.pid as number
  process.kill(recorder, 'SIGKILL')
  const end = Date.now() + 15_000
  const causes = async () =>
    (
      (await gateway.json('records', '--kind', 'gap')) as { records: { record: { cause: string } }[] }
    ).records.map(({ record }) => record.cause)
  while (!(await causes()).some((cause) => /did not stop cleanly/.test(cause)) && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.match((await causes()).join(), /did not stop cleanly/)
  const audits = (await gateway.json('records', '--kind', 'audit', '--limit', '100')) as {
    records: { id: string; record: { event: string } }[]
  }
  const events = audits.records.map(({ record }) => record.event)
  t.equal(events.filter((event) => event === 'start').length, 1, 'and nothing twice')
  t.ok(events.includes('child-died'))
})
