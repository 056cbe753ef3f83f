/** What a service manager expects of a service, on a machine where the gateway is installed: part of the lifecycle. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { type FreshDebian, said } from './fresh-debian.ts'
import { until } from './until.ts'

const SERVICE = 'agent-anchor.service'
const POLICIES = 'etc/agent-anchor/policies'
const DROP_IN = 'run/systemd/system/agent-anchor.service.d'
const STREAM = 'tmp/stream'
/** Ten seconds and more of a stream. */
const EVENTS = 30
const PACE_MS = 350
/** Long enough for a loaded machine's event loop, and shorter than the unit's own. */
const WATCHDOG_SECONDS = 8

export function serviceBehaviours({ machine, inMachine, asRoot, gateway, show }: FreshDebian): void {
  const chat = (more: string, body: object) =>
    machine.login(
      'alice',
      `curl --silent --show-error --max-time 60 --no-buffer ${more} --header 'authorization: Bearer sk-alice' \
        --header 'content-type: application/json' --data '${JSON.stringify({ model: 'gpt-5', ...body })}' \
        https://${OPENAI.name}/v1/chat/completions`,
    )
  const asking = (content: string) => ({ messages: [{ role: 'user', content }] })
  const mainPid = async () => Number((await show(SERVICE)).MainPID)
  const active = async () => (await show(SERVICE)).ActiveState === 'active'

  t.test('a restart under a running stream: it comes to its end, and so does its record', async (t) => {
    mkdirSync(inMachine(DROP_IN), { recursive: true })
    // For the next test: it holds from this restart on.
    writeFileSync(join(inMachine(DROP_IN), 'watchdog.conf'), `[Service]\nWatchdogSec=${WATCHDOG_SECONDS}\n`)
    await asRoot('systemctl', 'daemon-reload')
    const words = Array.from({ length: EVENTS }, (_, i) => `w${i}`).join(' ')
    const streaming = chat(`--output /${STREAM} --header 'x-lab: pace=${PACE_MS}'`, {
      ...asking(words),
      stream: true,
    })
    const streamed = () => (existsSync(inMachine(STREAM)) ? readFileSync(inMachine(STREAM), 'utf8') : '')
    await until(() => streamed().includes('w1'), 'the stream begins')
    const restarting = asRoot('systemctl', 'restart', SERVICE)
    await until(async () => (await show(SERVICE)).ActiveState === 'deactivating', 'the stop begins')
    const meanwhile = await chat('', asking('while it stops'))
    t.equal(meanwhile.code, 0, said(meanwhile))
    t.match(meanwhile.stdout, 'while it stops', 'a call that comes meanwhile is answered')
    t.notMatch(streamed(), '[DONE]', 'and the stream still goes on')
    const outcome = await streaming
    t.equal(outcome.code, 0, said(outcome))
    t.match(streamed(), /w29[\s\S]*\[DONE\]/, 'the stream comes to its end')
    const restarted = await restarting
    t.equal(restarted.code, 0, said(restarted))
    const { records } = JSON.parse((await gateway('records', '--kind', 'exchange', '--json')).stdout)
    const [newest, before] = records
    for (const record of [newest, before]) t.match(record, { outcome: 'complete', status: 200, uid: 1000 })
    // By their ends: the stream began first.
    const bodies = await Promise.all([newest, before].map(({ id }) => gateway('show', id, '--bodies')))
    t.ok(
      bodies.some(({ stdout }) => stdout.includes('w29') && stdout.includes('[DONE]')),
      'its record is whole',
    )
  })

  t.test('hung, it is killed by the watchdog and started again', async (t) => {
    const pid = await mainPid()
    const { NRestarts } = await show(SERVICE)
    // A program of that name isn't on a minimal Debian.
    const stopped = await asRoot('sh', '-c', `kill -STOP ${pid}`)
    t.equal(stopped.code, 0, said(stopped))
    // All of one answer: as the old one dies, it may be neither active nor have a main process.
    const runsAnew = (unit: Record<string, string>) =>
      unit.ActiveState === 'active' && !['0', String(pid)].includes(unit.MainPID ?? '0')
    await until(async () => runsAnew(await show(SERVICE)), 'another one runs')
    t.equal(Number((await show(SERVICE)).NRestarts), Number(NRestarts) + 1)
    const { stdout } = await asRoot('journalctl', '--boot', '--output=cat', '--unit', SERVICE)
    t.match(stdout, /Watchdog timeout/)
    const answered = await chat('', asking('after a hang'))
    t.equal(answered.code, 0, said(answered))
    rmSync(inMachine(DROP_IN), { recursive: true })
    await asRoot('systemctl', 'daemon-reload')
  })

  t.test('a reload takes another policy; a bad one fails, and all stays as it was', async (t) => {
    const hash = async () => JSON.parse((await gateway('status', '--json')).stdout).supervisor.policy.hash
    const policy = join(inMachine(POLICIES), 'standard.yaml')
    const shipped = readFileSync(inMachine('opt/agent-anchor/policies/standard.yaml'), 'utf8')
    const first = await hash()
    const pid = await mainPid()
    mkdirSync(inMachine(POLICIES), { recursive: true })
    writeFileSync(policy, shipped.replace('kind: Policy\n', 'kind: Policy\nnonsense: 1\n'))
    const bad = await asRoot('systemctl', 'reload', SERVICE)
    t.not(bad.code, 0, 'the reload fails')
    t.equal(await hash(), first)
    t.ok(await active(), 'the service stays')

    const only = ['--level', 'error', '--process', 'supervisor', '--since', '10m']
    const { lines } = JSON.parse((await gateway('logs', '--json', ...only)).stdout)
    const message = lines.at(-1)?.message
    t.match(message, /stays as it was.*nonsense/, 'agent-anchor logs says why')
    const { stdout } = await asRoot(
      ...['journalctl', '--boot', '--output=json', '--unit', SERVICE, '--priority=err'],
      'AGENT_ANCHOR_PROCESS=supervisor',
    )
    const entries = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const found = entries.filter((entry) => entry.MESSAGE === `supervisor: ${message}`)
    t.equal(found.length, 1, 'and so does the journal, once')
    t.match(found[0], { PRIORITY: '3', SYSLOG_IDENTIFIER: 'agent-anchor', _PID: String(pid) })

    writeFileSync(policy, shipped.replace('ports: [80, 443]', 'ports: [80, 443, 8443]'))
    const good = await asRoot('systemctl', 'reload', SERVICE)
    t.equal(good.code, 0, said(good))
    t.not(await hash(), first)
    rmSync(inMachine(POLICIES), { recursive: true })
    t.equal((await asRoot('systemctl', 'reload', SERVICE)).code, 0)
    t.equal(await hash(), first)
    t.equal(await mainPid(), pid, 'by the same process')
  })

  t.test('its children see no process but their own', async (t) => {
    const pid = await mainPid()
    const inside = ['nsenter', `--target=${pid}`, '--mount', '--']
    const seen = async (...as: string[]) =>
      (await asRoot(...inside, ...as, 'ls', '/proc')).stdout.split('\n').filter((name) => /^\d+$/.test(name))
    const root = await seen()
    const proxy = ['--reuid=agent-anchor-proxy', '--regid=agent-anchor-proxy', '--clear-groups']
    const child = await seen('setpriv', ...proxy, '--bounding-set=-all', '--inh-caps=-all', '--')
    t.ok(root.includes('1') && root.includes(String(pid)), 'the supervisor sees all')
    t.notOk(child.includes('1') || child.includes(String(pid)), 'a worker does not')
    t.ok(child.length > 0, 'it sees its own')
  })
}
