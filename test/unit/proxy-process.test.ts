/** The worker as a process of its own: its messages, its listeners, its end. */
import { type ChildProcess, fork } from 'node:child_process'
import { connect } from 'node:net'
import t from 'tap'
import { closeListener, openListener } from '../../firewall/listening-socket.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const main = new URL('../../daemon/proxy/main.ts', import.meta.url).pathname
const rules = { ...loadPolicy({ dir: shippedDirectory, name: 'standard' }), ownHosts: [] }
const PORT = 18_943

function start(fd: number, changes: object = {}) {
  const child = fork(main, [], {
    env: { PATH: '/usr/bin:/bin' },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc', fd],
  })
  t.teardown(() => child.kill('SIGKILL'))
  child.send({
    type: 'start',
    listeners: [{ fd: 4, family: 4 }],
    rules,
    recorderSocket: '/nonexistent/recorder.sock',
    fingerprintKey: Buffer.alloc(32, 1),
    systemRoots: [],
    staticHosts: {},
    sniffTimeoutMs: 100,
    durability: 'before-forward',
    providerAddresses: [],
    resolveCatalogue: false,
    ...changes,
  })
  return child
}

const message = (child: ChildProcess, type: string) =>
  new Promise<Record<string, unknown>>((resolve) => {
    child.on('message', (found: Record<string, unknown>) => found.type === type && resolve(found))
  })
const exit = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))

t.test(
  'a worker listens on what it inherits, reports, and stops when it is told or left alone',
  async (t) => {
    const fd = openListener({ address: '127.0.0.1', port: PORT })
    t.teardown(() => closeListener(fd))
    const child = start(fd)
    const state = message(child, 'state')
    await message(child, 'ready')
    await message(child, 'beat')
    t.match(await state, { connections: 0, recorder: 'lost', idleUpstream: 0 })
    const socket = connect(PORT, '127.0.0.1')
    socket.on('error', () => {})
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    t.pass('a direct dial is closed')
    child.send({ type: 'addresses', addresses: ['1.2.3.4'] })
    child.send({ type: 'leaf', request: 99, pem: 'nobody asked' })
    child.send({ type: 'owner', answers: [{ request: 99, agent: { uid: 1 } }] })
    child.send({ type: 'stop' })
    t.equal(await exit(child), 0)

    const orphan = start(fd)
    await message(orphan, 'ready')
    orphan.disconnect()
    t.equal(await exit(orphan), 0)
  },
)

t.test('a worker refuses a start message of another shape and says where', async (t) => {
  const fd = openListener({ address: '127.0.0.1', port: PORT })
  t.teardown(() => closeListener(fd))
  const child = start(fd, { durability: 'never' })
  let said = ''
  child.stderr?.on('data', (text) => {
    said += text
  })
  t.not(await exit(child), 0)
  t.match(said, /durability/)
})
