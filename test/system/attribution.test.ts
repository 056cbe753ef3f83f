/**
 * Who is behind a connection, against a real kernel: processes under several users, cgroups, network namespaces that
 * stand for containers, and a flood. Runs in namespaces of its own; its cgroups are its own, empty ones at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import winston from 'winston'
import { AgentPayload } from '../../daemon/recorder/payloads.ts'
import { startAttribution } from '../../daemon/supervisor/attribution/attribution.ts'
import type { OwnerFlow } from '../../daemon/supervisor/attribution/owner.ts'
import { sameProcess } from '../../daemon/supervisor/attribution/process.ts'
import { flowOwner } from '../../firewall/flow-owner.ts'
import { canonicalAddress } from '../../firewall/ip-address.ts'
import { enterLab } from '../lab/enter.ts'
import { PATH } from '../lab/places.ts'
import { tool } from '../lab/process.ts'

await enterLab(import.meta.url)
t.setTimeout(120_000)

const PYTHON = '/usr/bin/python3'
const sha256 = createHash('sha256').update(readFileSync(PYTHON)).digest('hex')
const log = winston.createLogger({ silent: true })
const attribution = startAttribution({ log, unknown: () => {} })
t.teardown(() => attribution.stop())

const HOST4 = '10.71.0.1'
const HOST6 = 'fd71::1'
const BOX4 = '10.71.0.2'
const BOX6 = 'fd71::2'

await tool(['ip', 'link', 'set', 'lo', 'up'])

/** A server on every address of this namespace. */
const server = createServer((socket) => socket.on('error', () => {})).listen(0, '::')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
t.teardown(() => server.close())

interface Actor {
  readonly child: ChildProcess
  readonly pid: number
  /** Local port of its socket. */
  readonly port: number
  /** The next line it says. */
  said(): Promise<string>
  say(line: string): void
  end(): Promise<void>
}

const actors = new Set<Actor>()
t.teardown(() => Promise.all([...actors].map((actor) => actor.end())))

/** A python with a socket `s` to `host`, made where `body` says CONNECT; then it waits. */
async function actor(
  body: string,
  options: { host?: string; wrap?: readonly string[]; kind?: string } = {},
): Promise<Actor> {
  const { host = '127.0.0.1', wrap = [], kind = '' } = options
  const connect =
    kind === 'udp'
      ? `s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('${host}', ${port}))`
      : kind === 'mapped'
        ? `s = socket.socket(socket.AF_INET6); s.connect(('::ffff:${host}', ${port}))`
        : `s = socket.create_connection(('${host}', ${port}))`
  const say = 'print(s.getsockname()[1], flush=True)'
  const script = `import os, socket, sys, time, array\n${body.replace('CONNECT', `${connect}; ${say}`)}\nsys.stdin.read()`
  const [program, ...args] = [...wrap, PYTHON, '-c', script]
  const child = spawn(program as string, args, { env: { PATH }, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: string[] = []
  const waiting: ((line: string) => void)[] = []
  child.stdout?.on('data', (bytes: Buffer) => {
    for (const line of String(bytes).trim().split('\n')) {
      const next = waiting.shift()
      if (next) next(line)
      else lines.push(line)
    }
  })
  child.once('exit', () => {
    for (const next of waiting.splice(0)) next('it ended')
  })
  const said = () => {
    const line = lines.shift()
    return line === undefined
      ? new Promise<string>((resolve) => waiting.push(resolve))
      : Promise.resolve(line)
  }
  const first = Number(await said())
  if (Number.isNaN(first)) throw new Error('the actor did not come so far as to have a socket')
  const made: Actor = {
    child,
    pid: child.pid as number,
    port: first,
    said,
    say: (line) => void child.stdin?.write(`${line}\n`),
    end: async () => {
      actors.delete(made)
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.stdin?.destroy()
      child.kill('SIGKILL')
      await exit
    },
  }
  actors.add(made)
  return made
}

const flow = (
  from: Actor,
  client = '127.0.0.1',
  destination = client,
  protocol: 'tcp' | 'udp' = 'tcp',
): OwnerFlow => ({
  ...{ protocol, family: canonicalAddress(client)?.family ?? 4 },
  ...{ client: { address: client, port: from.port }, destination: { address: destination, port } },
})

t.test('a forked socket is shared by two processes under two users: both are told', async (t) => {
  const one = await actor(`os.setgid(4001); os.setuid(4001)
CONNECT
sys.stdout.flush()
if os.fork() == 0:
  os.setsid()`)
  const agent = await attribution.agent(flow(one))
  t.match(agent, { uid: 4001, gid: 4001, processes: { length: 2 } })
  const two = await actor(`CONNECT
child = os.fork()
if child == 0:
  os.setgid(4002); os.setuid(4002); print('down', flush=True)
else:
  os.setgid(4001); os.setuid(4001); print('down', flush=True)`)
  await two.said()
  await two.said()
  const owners = await attribution.ask(flow(two))
  t.same(owners.map(({ uid }) => uid).sort(), [4001, 4002])
  t.match(
    owners.find(({ pid }) => pid === two.pid),
    { uid: 4001, process: 'python3', sha256 },
  )
  const shared = await attribution.agent(flow(two))
  t.equal(shared.uid, 0, 'who made the socket')
  t.same(shared.processes?.map(({ uid }) => uid).sort(), [4001, 4002])
  t.ok(AgentPayload.safeParse(shared).success)
  await Promise.all([one.end(), two.end()])
})

t.test('a socket that a crowd shares costs no more than a few, and the crowd is counted', async (t) => {
  const crowd = await actor(`CONNECT
for i in range(99):
  if os.fork() == 0: time.sleep(60); os._exit(0)
print('all', flush=True)`)
  await crowd.said()
  const agent = await attribution.agent(flow(crowd))
  t.equal(agent.processes?.length, 8)
  t.equal(agent.more, 92)
  t.ok((await attribution.ask(flow(crowd))).length < 50)
  const group = readFileSync(`/proc/${crowd.pid}/task/${crowd.pid}/children`, 'utf8')
  for (const pid of group.trim().split(' ')) process.kill(Number(pid), 'SIGKILL')
  await crowd.end()
})

t.test("a process that has changed its user since is told beside the socket's maker", async (t) => {
  const changed = await actor(`os.setgid(4001); os.setegid(4001); CONNECT
os.setuid(4001); print('down', flush=True)`)
  await changed.said()
  t.match(await attribution.agent(flow(changed)), {
    ...{ uid: 0, gid: 4001 },
    processes: [{ pid: changed.pid, uid: 4001, executable: /\/python3\.\d+$/, sha256 }],
  })
  await changed.end()
})

t.test('a descriptor that was passed on is told with who has it now', async (t) => {
  const passed = await actor(`CONNECT
a, b = socket.socketpair()
child = os.fork()
if child == 0:
  s.close(); a.close(); os.setuid(4002)
  socket.recv_fds(b, 1, 1); print('has it', flush=True)
else:
  socket.send_fds(a, [b'x'], [s.fileno()]); s.close(); print(child, flush=True)`)
  const said = [await passed.said(), await passed.said()]
  const receiver = Number(said.find((line) => line !== 'has it'))
  t.match(await attribution.agent(flow(passed)), {
    ...{ uid: 0, processes: [{ pid: receiver, uid: 4002 }] },
    more: undefined,
  })
  await passed.end()
  try {
    process.kill(receiver, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
})

const cgroupsOf = `/aa-test-${randomBytes(6).toString('hex')}.slice`
const cgroups: string[] = []
function cgroup(path: string): string {
  const whole = `${cgroupsOf}/${path}`
  for (const [i, part] of whole.split('/').entries()) {
    if (i === 0) continue
    const made = `/sys/fs/cgroup${whole
      .split('/')
      .slice(0, i + 1)
      .join('/')}`
    if (cgroups.includes(made) || part === '') continue
    mkdirSync(made)
    cgroups.push(made)
  }
  return whole
}
t.teardown(() => {
  for (const path of cgroups.reverse()) rmdirSync(path)
})
const join = (path: string) => `open('/sys/fs/cgroup${path}/cgroup.procs', 'w').write('0')\n`

t.test('a process in a cgroup is told with its unit, also where it has moved since', async (t) => {
  const service = cgroup('worker.service')
  const other = cgroup('other.service')
  const still = await actor(`${join(service)}os.setuid(4001); CONNECT`)
  const agent = await attribution.agent(flow(still))
  t.match(agent, {
    ...{ uid: 4001, cgroup: service, unit: 'worker.service' },
    processes: [{ pid: still.pid }],
  })
  t.notOk(agent.processes?.[0]?.unit, 'said once')
  await still.end()
  const moved = await actor(`${join(service)}CONNECT\n${join(other)}print('moved', flush=True)`)
  await moved.said()
  t.match(await attribution.agent(flow(moved)), {
    ...{ cgroup: service, unit: 'worker.service' },
    processes: [{ pid: moved.pid, cgroup: other, unit: 'other.service' }],
  })
  await moved.end()
})

const id = randomBytes(32).toString('hex')

/** A network namespace of its own behind a veth pair, held by a process; the addresses are on the two ends. */
async function box(name: string, own: readonly string[], host: readonly string[]): Promise<void> {
  await tool(['ip', 'netns', 'add', name])
  t.teardown(() => tool(['ip', 'netns', 'del', name]))
  const inside = (...argv: string[]) => tool(['ip', '-n', name, ...argv])
  await inside('link', 'set', 'lo', 'up')
  if (host.length > 0) {
    await tool(['ip', 'link', 'add', `v-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name])
    for (const address of host)
      await tool(['ip', 'addr', 'add', address, 'dev', `v-${name}`, ...nodad(address)])
    await tool(['ip', 'link', 'set', `v-${name}`, 'up'])
    await inside('link', 'set', 'eth0', 'up')
  }
  const device = host.length > 0 ? 'eth0' : 'lo'
  for (const address of own) await inside('addr', 'add', address, 'dev', device, ...nodad(address))
}
const nodad = (address: string) => (address.includes(':') ? ['nodad'] : [])
const within = (name: string, uid: number) => [
  ...['ip', 'netns', 'exec', name, 'setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'],
]

t.test(
  'a container in a network of its own is told: both families, mapped addresses, datagrams',
  async (t) => {
    await box('box', [`${BOX4}/24`, `${BOX6}/64`], [`${HOST4}/24`, `${HOST6}/64`])
    const docker = cgroup(`docker-${id}.scope`)
    const inContainer = ['/bin/sh', '-c', `echo 0 > /sys/fs/cgroup${docker}/cgroup.procs; exec "$@"`, 'sh']
    const wrap = [...inContainer, ...within('box', 4001)]
    const cases = [
      ['IPv4', HOST4, BOX4, 'tcp', ''],
      ['IPv6', HOST6, BOX6, 'tcp', ''],
      ['an IPv6 socket that speaks IPv4', HOST4, BOX4, 'tcp', 'mapped'],
      ['UDP', HOST4, BOX4, 'udp', 'udp'],
    ] as const
    for (const [what, host, own, protocol, kind] of cases) {
      const made = await actor('CONNECT', { host, wrap, kind })
      const question = flow(made, own, host, protocol)
      t.equal(flowOwner(question), undefined, `${what}: the kernel's own answer sees this network alone`)
      const agent = await attribution.agent(question)
      t.match(
        agent,
        {
          ...{ uid: 4001, gid: 4001, cgroup: docker, unit: `docker-${id}.scope`, container: `docker:${id}` },
          processes: [{ name: 'python3', sha256 }],
        },
        what,
      )
      t.type(agent.inode, 'number')
      await made.end()
      if (protocol === 'tcp') {
        t.same(await attribution.agent(question), {}, `${what}: and once it is gone it is unknown`)
      }
    }
  },
)

t.test('where two networks have a socket of that name, nobody is accused', async (t) => {
  const honest = await actor('CONNECT', { host: HOST4, wrap: within('box', 4001) })
  t.match(await attribution.agent(flow(honest, BOX4, HOST4)), { uid: 4001 })
  await box('sham', [`${BOX4}/32`, `${HOST4}/32`], [])
  const sham = await actor(
    `l = socket.create_server(('${HOST4}', ${port}))
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('${BOX4}', ${honest.port})); s.connect(('${HOST4}', ${port}))
print(s.getsockname()[1], flush=True)`,
    { wrap: within('sham', 4002) },
  )
  t.equal(sham.port, honest.port)
  t.same(await attribution.agent(flow(honest, BOX4, HOST4)), {})
  await sham.end()
  t.match(
    await attribution.agent(flow(honest, BOX4, HOST4)),
    { uid: 4001 },
    'and with the sham gone it is clear again',
  )
  await honest.end()
})

t.test('a client that is gone before the question is unknown', async (t) => {
  const gone = await actor('CONNECT')
  const question = flow(gone)
  const socket = flowOwner(question)
  t.match(socket, { uid: 0 })
  await gone.end()
  t.same(await attribution.agent(question), {})
  t.same(
    await attribution.ask({ ...question, ...socket }),
    [],
    'also where the kernel still knew it at accept',
  )
})

t.test('a pid that is another process by now is not taken for the first', async (t) => {
  const one = await actor('CONNECT')
  const [owner] = await attribution.ask(flow(one))
  const link = readdirSync(`/proc/${one.pid}/fd`)
    .map((fd) => `/proc/${one.pid}/fd/${fd}`)
    .at(-1) as string
  const target = `socket:[${flowOwner(flow(one))?.inode}]`
  const known = { owner: owner as NonNullable<typeof owner>, started: '1', content: undefined }
  t.equal(sameProcess(known, link, target), false)
  await one.end()
})

/** CPU time of the thread that looks, in milliseconds: it is the one that was made nicer. */
function lookingTime(): number {
  const ticks = readdirSync('/proc/self/task').flatMap((task) => {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ')
    return fields[16] === '10' ? [Number(fields[11]) + Number(fields[12])] : []
  })
  t.equal(ticks.length, 1)
  return (ticks[0] ?? 0) * 10
}

t.test('a flood of short connections takes a quarter of a core at most', async (t) => {
  const SECONDS = 6
  const flood = spawn(
    PYTHON,
    [
      '-c',
      `import socket, time
end = time.time() + ${SECONDS + 2}
kept = [open('/dev/null') for _ in range(500)]
while time.time() < end:
  s = socket.create_connection(('127.0.0.1', ${port})); s.close(); time.sleep(0.0005)`,
    ],
    { env: { PATH }, stdio: 'inherit' },
  )
  const lasting = await actor('CONNECT')
  let asked = 0
  let named = 0
  const found: Promise<void>[] = []
  const ask = (question: OwnerFlow) => {
    asked += 1
    const socket = flowOwner(question)
    return attribution.agent({ ...question, ...socket }).then((agent) => {
      if (agent.processes) named += 1
      for (const { pid } of agent.processes ?? [])
        t.ok(pid === flood.pid || pid === lasting.pid, 'never a guess')
    })
  }
  const take = (socket: import('node:net').Socket) => {
    const client = {
      address: canonicalAddress(socket.remoteAddress ?? '')?.address ?? '',
      port: socket.remotePort ?? 0,
    }
    const destination = { address: '127.0.0.1', port }
    found.push(ask({ protocol: 'tcp', family: 4, client, destination }))
    socket.resume()
  }
  server.on('connection', take)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const [from, cpu] = [performance.now(), lookingTime()]
  const worst: number[] = []
  while (performance.now() - from < SECONDS * 1000) {
    const begun = performance.now()
    t.match(await attribution.agent(flow(lasting)), { processes: [{ pid: lasting.pid }] })
    worst.push(performance.now() - begun)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const share = (lookingTime() - cpu) / (performance.now() - from)
  server.off('connection', take)
  flood.kill('SIGKILL')
  await Promise.all(found)
  t.comment(`${asked} questions, ${named} named; ${(share * 100).toFixed(1)} % of a core`)
  t.comment(`a lasting client was named within ${Math.round(Math.max(...worst))} ms`)
  t.ok(asked > 500, `${asked} questions`)
  t.ok(share > 0.01 && share <= 0.25, `${share}`)
  await lasting.end()
})

t.test('many descriptors cost time, and no connection its owner', async (t) => {
  const hoarder = await actor(`import resource
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
kept = [os.dup(0) for _ in range(most - 100)]
CONNECT`)
  const descriptors = readdirSync(`/proc/${hoarder.pid}/fd`).length
  const begun = performance.now()
  t.match(await attribution.agent(flow(hoarder)), { processes: [{ pid: hoarder.pid }] })
  t.comment(`found among ${descriptors} descriptors in ${Math.round(performance.now() - begun)} ms`)
  await hoarder.end()
})
