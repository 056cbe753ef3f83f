/** `status` beside a real gateway: for root and for any user, healthy, and in what it says of a gateway that is silent. */
import { chmod, readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import type { Health } from '../../daemon/base/health.ts'
import { enterLab } from '../lab/enter.ts'
import { caused, remedied } from '../lab/health.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { REPOSITORY } from '../lab/places.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const { lab, gateway } = await labWithGateway(t)

const byUser = (...args: string[]) => lab.run('agent1', [`${REPOSITORY}/cli/agent-anchor`, 'status', ...args])
const healthFor = async (...args: string[]): Promise<Health[]> =>
  JSON.parse((await byUser('--json', ...args)).stdout).health

t.test('says to any user what was captured, of whom and when, and how the rest stands', async (t) => {
  const call = (user: 'agent1' | 'agent2') =>
    lab.run(user, ['curl', '-sS', '-H', 'Authorization: Bearer k', 'https://api.openai.com/v1/models'])
  for (const user of ['agent1', 'agent2', 'agent1'] as const) t.equal((await call(user)).code, 0)
  let text = ''
  for (const end = Date.now() + 60_000; Date.now() < end && !/3 exchanges/.test(text); ) {
    text = (await byUser()).stdout
  }
  t.match(text, /^OK: /)
  t.match(text, /\ncapture +in 24 h 2 agents, 3 exchanges; 3 in all; last \d+ s ago, openai\n/)
  t.match(text, /\nledger +\d+ leaves, checkpoint \d+ s old/)
  t.match(text, /\nkeys +host-key; the CA is good until 20\d\d-\d\d-\d\d, for \d+ y/)
  t.match(text, /\ndisk +[\d.]+ [GM]iB of [\d.]+ [GM]iB free; bodies take [\d.]+ [KM]iB/)
  t.equal(text, text.replace(/[^\n -~]/g, ''), 'plain, where it is no terminal')
  t.comment(text)
})

t.test('a supervisor that was stopped by a signal is told, and goes on', async (t) => {
  const pid = gateway.process.pid!
  process.kill(pid, 'SIGSTOP')
  const { remedy } = await caused(t, healthFor, 'daemon.hangs')
  t.match(remedy, `kill -CONT ${pid}`)
  process.kill(pid, 'SIGCONT')
  await remedied(t, healthFor, 'daemon.hangs')
})

t.test('rights that somebody took away are told from a gateway that is down', async (t) => {
  const { runtimeDir } = gateway.config
  await chmod(runtimeDir, 0o700)
  await caused(t, healthFor, 'daemon.state-unreadable')
  t.equal((await byUser()).code, 1, 'that can not be told')
  t.equal((await gateway.cli('status')).code, 0, 'but by root')
  await chmod(runtimeDir, 0o755)
  await remedied(t, healthFor, 'daemon.state-unreadable')
})

t.test('a file of another version is told, until the gateway is restarted', async (t) => {
  const { supervisorState } = gateway.paths
  const known = await readFile(supervisorState, 'utf8')
  await gateway.stop()
  await writeFile(supervisorState, known.replace('"v":1', '"v":2'))
  await caused(t, healthFor, 'daemon.state-unknown')
  await gateway.start()
  await remedied(t, healthFor, 'daemon.state-unknown')
  t.equal((await byUser()).code, 0)
})
