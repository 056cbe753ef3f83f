/** What is read from /proc and cgroup paths, and how it becomes the agent of a record; then real processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, copyFileSync, readFileSync, unlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import winston from 'winston'
import { AgentPayload } from '../../daemon/recorder/payloads.ts'
import { startAttribution, type UnknownSpan } from '../../daemon/supervisor/attribution/attribution.ts'
import { describeCgroup, processCgroup } from '../../daemon/supervisor/attribution/cgroup-path.ts'
import { cgroupMounts } from '../../daemon/supervisor/attribution/cgroup-tree.ts'
import { mountType } from '../../daemon/supervisor/attribution/executable.ts'
import { Look } from '../../daemon/supervisor/attribution/look.ts'
import { findInTable, tableKey, tablesOf } from '../../daemon/supervisor/attribution/net-table.ts'
import {
  agentOf,
  agentOfOneAmong,
  type Owner,
  type OwnerFlow,
} from '../../daemon/supervisor/attribution/owner.ts'
import { Pace } from '../../daemon/supervisor/attribution/pace.ts'
import { effectiveIds, startTime } from '../../daemon/supervisor/attribution/process.ts'
import { flowOwner } from '../../firewall/flow-owner.ts'

const id = '0123456789abcdef'.repeat(4)
const pod = '1f0c2f5e-7d2a-4b7e-9a52-0c6f2f1f7b11'
const log = winston.createLogger({ silent: true })

t.test('a cgroup names unit and container, in every shape that runtimes give it', async (t) => {
  const shapes: Record<string, [unit: string | undefined, container: string | undefined]> = {
    '/system.slice/cron.service': ['cron.service', undefined],
    '/system.slice/system-getty.slice/getty@tty1.service': ['getty@tty1.service', undefined],
    '/system.slice/worker.service/inner/deeper': ['worker.service', undefined],
    '/system.slice/_cpu.service': ['cpu.service', undefined],
    '/init.scope': ['init.scope', undefined],
    '/user.slice/user-1000.slice/session-3.scope': ['session-3.scope', undefined],
    '/user.slice/user-1000.slice/user@1000.service/init.scope': ['user@1000.service/init.scope', undefined],
    '/user.slice/user-1000.slice/user@1000.service/app.slice/app-code\\x2doss.scope': [
      'user@1000.service/app-code\\x2doss.scope',
      undefined,
    ],
    '/user.slice/user-1000.slice': [undefined, undefined],
    '/': [undefined, undefined],
    [`/docker/${id}`]: [undefined, `docker:${id}`],
    [`/docker/${id}/docker/${'f'.repeat(64)}`]: [undefined, `docker:${'f'.repeat(64)}`],
    [`/system.slice/docker-${id}.scope`]: [`docker-${id}.scope`, `docker:${id}`],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${id}.scope`]: [
      `user@1000.service/docker-${id}.scope`,
      `docker:${id}`,
    ],
    [`/machine.slice/libpod-${id}.scope/container`]: [`libpod-${id}.scope`, `podman:${id}`],
    [`/machine.slice/libpod-conmon-${id}.scope`]: [`libpod-conmon-${id}.scope`, undefined],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`]: [
      `user@1000.service/libpod-${id}.scope`,
      `podman:${id}`,
    ],
    [`/libpod_parent/libpod-${id}`]: [undefined, `podman:${id}`],
    [`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${pod.replaceAll('-', '_')}.slice/cri-containerd-${id}.scope`]:
      [`cri-containerd-${id}.scope`, `containerd:${id}`],
    [`/kubepods.slice/kubepods-pod${pod.replaceAll('-', '_')}.slice/crio-${id}.scope`]: [
      `crio-${id}.scope`,
      `crio:${id}`,
    ],
    [`/kubepods.slice/kubepods-pod${pod.replaceAll('-', '_')}.slice/crio-conmon-${id}.scope`]: [
      `crio-conmon-${id}.scope`,
      undefined,
    ],
    [`/kubepods/besteffort/pod${pod}/${id}`]: [undefined, `kubernetes:${id}`],
    [`/kubepods/burstable/pod${pod}/crio-${id}`]: [undefined, `crio:${id}`],
    [`/system.slice/containerd.service/kubepods-burstable-pod${pod}.slice:cri-containerd:${id}`]: [
      'containerd.service',
      `containerd:${id}`,
    ],
    [`/system.slice/nerdctl-${id}.scope`]: [`nerdctl-${id}.scope`, `containerd:${id}`],
    '/lxc.payload.web-1/system.slice/nginx.service': [undefined, 'lxc:web-1'],
    '/lxc/web/init.scope': [undefined, 'lxc:web'],
    '/lxc.monitor.web-1': [undefined, undefined],
    '/machine.slice/systemd-nspawn@build.service/payload': ['systemd-nspawn@build.service', 'nspawn:build'],
    '/machine.slice/machine-build\\x2dbox.scope/payload': ['machine-build\\x2dbox.scope', 'nspawn:build-box'],
    '/machine.slice/machine-qemu\\x2d1\\x2dvm.scope': ['machine-qemu\\x2d1\\x2dvm.scope', undefined],
    [`/docker/${id.slice(1)}`]: [undefined, undefined],
  }
  for (const [path, [unit, container]] of Object.entries(shapes)) {
    const found = describeCgroup(path)
    t.equal(found.unit, unit, path)
    t.equal(found.container, container, path)
  }
})

t.test('no path that somebody makes up breaks the reading of it', async (t) => {
  const part = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('docker', 'lxc', `docker-${id}.scope`, 'a.slice', 'user@1.service', id, '\\x2', '..'),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      describeCgroup(`/${parts.join('/')}`)
      processCgroup(parts.map((one, i) => `${i}:${one}`).join('\n'))
      return true
    }),
  )
  t.pass()
})

t.test('a process is placed on machines with either version of cgroups, or both', async (t) => {
  t.same(processCgroup('0::/system.slice/cron.service\n'), {
    cgroup: '/system.slice/cron.service',
    unit: 'cron.service',
  })
  const hybrid = `9:name=systemd:/system.slice/docker.service\n8:memory:/docker/${id}\n0::/\n`
  t.same(processCgroup(hybrid), {
    cgroup: '/system.slice/docker.service',
    unit: 'docker.service',
    container: `docker:${id}`,
  })
  t.same(processCgroup('4:memory:/own/limits\n0::/\n'), { cgroup: '/own/limits' })
  t.same(processCgroup('0::/\n'), { cgroup: '/' })
  t.same(processCgroup('0::/gone (deleted)\n'), { cgroup: '/gone' })
  t.same(processCgroup(''), {})
})

t.test('the version 2 hierarchy is found where it is mounted whole', async (t) => {
  const line = (root: string, place: string, type: string) =>
    `36 35 0:30 ${root} ${place} rw,nosuid shared:4 - ${type} cgroup2 rw`
  const mounts = [
    line('/', '/sys/fs/cgroup/unified', 'cgroup2'),
    line('/part', '/sys/fs/cgroup', 'cgroup2'),
    line('/', '/sys/fs/cgroup', 'cgroup'),
    line('/', '/odd\\040place', 'cgroup2'),
  ]
  t.same(cgroupMounts(mounts.join('\n')), ['/odd place', '/sys/fs/cgroup/unified'])
  t.same(cgroupMounts(''), [])
  t.equal(mountType(line('/', '/x', 'fuse.sshfs'), '36'), 'fuse.sshfs')
  t.equal(mountType(line('/', '/x', 'fuse.sshfs'), '3'), undefined)
})

t.test('a process can not hide its start time or its ids in its name', async (t) => {
  const stat = (name: string) => `77 (${name}) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0`
  t.equal(startTime(stat('sh')), '4711')
  t.equal(startTime(stat(') S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22')), '4711')
  t.equal(startTime('nonsense'), undefined)
  t.same(effectiveIds('Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n'), { uid: 2, gid: 6 })
  t.equal(effectiveIds('Name:\tx\n'), undefined)
})

t.test("another namespace's sockets are found by both ends, in the kernel's own notation", async (t) => {
  const flow: OwnerFlow = {
    protocol: 'tcp',
    family: 4,
    client: { address: '172.17.0.2', port: 40000 },
    destination: { address: '203.0.113.10', port: 443 },
  }
  t.same(tablesOf(flow), ['tcp', 'tcp6'])
  t.same(tablesOf({ ...flow, protocol: 'udp', family: 6 }), ['udp6'])
  const [four, six] = [tableKey(flow, 'tcp') as string, tableKey(flow, 'tcp6') as string]
  t.equal(four, '020011AC:9C40 0A7100CB:01BB')
  t.equal(six, '0000000000000000FFFF0000020011AC:9C40 0000000000000000FFFF00000A7100CB:01BB')
  const six6 = {
    ...flow,
    family: 6 as const,
    client: { address: '2001:db8::2', port: 1 },
    destination: { address: '2001:db8::1', port: 65535 },
  }
  t.equal(
    tableKey(six6, 'tcp6'),
    'B80D0120000000000000000002000000:0001 B80D0120000000000000000001000000:FFFF',
  )
  t.equal(tableKey(six6, 'tcp'), undefined)
  const row = (ends: string, inode: number) =>
    `   3: ${ends} 01 00000000:00000000 02:000AFC7B 00000000  4001        0 ${inode} 2 0000000000000000 20 4 30 10 -1`
  const header =
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
  const text = [header, row('0100007F:0016 00000000:0000', 5), row(four, 99), row(six, 0), ''].join('\n')
  t.same(
    [...findInTable(text, new Set([four, six]))],
    [[four, { inode: 99, uid: 4001 }]],
    'TIME_WAIT has none',
  )
  fc.assert(fc.property(fc.string(), (any) => findInTable(any, new Set([four])).size === 0))
})

const owner = (pid: number, over: Partial<Owner> = {}): Owner => ({
  ...{ pid, uid: 4001, gid: 4001, process: 'curl', executable: '/usr/bin/curl', sha256: id },
  ...{ cgroup: '/system.slice/a.service', unit: 'a.service' },
  ...over,
})

t.test('what all processes share is said once, and where one differs it is said there', async (t) => {
  const same = agentOf({ inode: 7, uid: 4001 }, [owner(10), owner(11)])
  t.same(same, {
    ...{ inode: 7, uid: 4001, gid: 4001, cgroup: '/system.slice/a.service', unit: 'a.service' },
    processes: [10, 11].map((pid) => ({ pid, name: 'curl', executable: '/usr/bin/curl', sha256: id })),
  })
  const elsewhere = { uid: 4002, cgroup: '/system.slice/b.service', unit: 'b.service' }
  const two = agentOf({ inode: 7, uid: 4001 }, [owner(10), owner(11, elsewhere)])
  t.match(two, { uid: 4001, gid: 4001, cgroup: undefined, unit: undefined })
  t.match(two.processes, [
    { pid: 10, unit: 'a.service', uid: undefined },
    { pid: 11, ...elsewhere },
  ])
  const made = agentOf({ inode: 7, uid: 4001, cgroup: '/system.slice/b.service' }, [owner(10)])
  t.match(made, { unit: 'b.service', processes: [{ unit: 'a.service' }] }, "the socket's own cgroup stands")
  t.match(
    agentOf({ inode: 7, uid: 0, cgroup: '/' }, [owner(10)]),
    { unit: 'a.service' },
    'the root says nothing',
  )
  const many = agentOf(
    { inode: 7 },
    Array.from({ length: 20 }, (_, i) => owner(i + 1)),
  )
  t.equal(many.processes?.length, 8)
  t.equal(many.more, 12)
  t.same(agentOf({ inode: 7, uid: 1 }, []), { inode: 7, uid: 1 })
  for (const agent of [same, two, made, many]) t.ok(AgentPayload.safeParse(agent).success)
})

t.test('of several sockets that fit, only what holds for each is said', async (t) => {
  t.same(agentOfOneAmong([owner(1), owner(2)]), {})
  const container = `docker:${id}`
  t.same(agentOfOneAmong([owner(1, { container }), owner(2, { container })]), { container })
  t.same(agentOfOneAmong([owner(1, { container }), owner(2)]), {})
})

t.test('work keeps to its share: it rests as long as it must, and may save a little', async (t) => {
  let now = 0
  let used = 0
  const rests: number[] = []
  const pace = new Pace({
    ...{ share: 0.25, savedMs: 100, used: () => used, now: () => now },
    rest: async (ms) => {
      rests.push(ms)
      now += ms
    },
  })
  used += 100
  await pace.rested()
  t.same(rests, [], 'what was saved is there at once')
  used += 50
  await pace.rested()
  t.same(rests, [200], '50 ms of work take 200 ms at a quarter')
  now += 100_000
  used += 140
  await pace.rested()
  t.same(rests, [200, 160], 'a long rest saves no more than its bound')
  let total = 0
  const begun = now
  for (let i = 0; i < 1000; i++) {
    used += 7
    total += 7
    await pace.rested()
  }
  t.ok(total / (now - begun) <= 0.26, `${total} ms of work in ${now - begun} ms`)
})

/** A python that connects to `port`, then does what `body` says; prints its port first. */
async function client(port: number, body: string, executable = 'python3'): Promise<[ChildProcess, number]> {
  const script = `import os,socket,sys,time,threading,ctypes\n${body.includes('CONNECT') ? '' : 'CONNECT\n'}${body}`
  const connect = `s = socket.create_connection(('127.0.0.1', ${port})); print(s.getsockname()[1], flush=True)`
  const child = spawn(executable, ['-c', script.replace('CONNECT', connect)], {
    env: { PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  return [child, Number(String(said))]
}

async function listener(): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  return (server.address() as AddressInfo).port
}

const flowFrom = (local: number, port: number): OwnerFlow => ({
  protocol: 'tcp',
  family: 4,
  client: { address: '127.0.0.1', port: local },
  destination: { address: '127.0.0.1', port },
})

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

t.test(
  'a deleted executable is still named and hashed, and its name is what it says of itself',
  async (t) => {
    const port = await listener()
    const python = readFileSync('/proc/self/exe').length > 0 ? process.execPath : ''
    const copy = join(t.testdir(), 'agent')
    copyFileSync(python, copy)
    chmodSync(copy, 0o755)
    const code = `const s=require('net').connect(${port},'127.0.0.1',()=>{process.title='\\u001b[2J';console.log(s.localPort)})`
    const child = spawn(copy, ['-e', code], { env: {}, stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data')
    unlinkSync(copy)
    const { owners } = await new Look({ flowOwner }).ask(flowFrom(Number(String(said)), port))
    t.match(owners, [{ pid: child.pid, executable: `${copy} (deleted)`, sha256: sha256(process.execPath) }])
  },
)

t.test('a descriptor that only a thread of its own has is found', async (t) => {
  const port = await listener()
  const unshare = 'ctypes.CDLL(None).unshare(0x400)'
  const [child, local] = await client(
    port,
    `def run():\n  assert ${unshare} == 0\n  CONNECT\n  time.sleep(9)\nthreading.Thread(target=run).start()\ntime.sleep(9)`,
  )
  const { owners, agent } = await new Look({ flowOwner }).ask(flowFrom(local, port))
  t.match(owners, [{ pid: child.pid }])
  t.match(agent, { uid: process.getuid?.(), processes: [{ pid: child.pid, sha256: /^[0-9a-f]{64}$/ }] })
})

t.test('a client that is gone is unknown, however the question is put', async (t) => {
  const port = await listener()
  const [child, local] = await client(port, 'time.sleep(9)')
  const flow = flowFrom(local, port)
  const socket = flowOwner(flow)
  t.ok(socket)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const look = new Look({ flowOwner })
  t.same(await look.ask(flow), { owners: [], agent: {} })
  const { owners, agent } = await look.ask({ ...flow, ...socket })
  t.same(owners, [])
  t.notOk(agent.processes, 'and nobody is put in its place')
})

t.test(
  'the thread answers, says how many it could not, and what it is asked after its end is unknown',
  async (t) => {
    const spans: UnknownSpan[] = []
    const attribution = startAttribution({ log, unknown: (span) => spans.push(span) })
    const port = await listener()
    const [child, local] = await client(port, 'time.sleep(9)')
    t.match(await attribution.agent(flowFrom(local, port)), { processes: [{ pid: child.pid }] })
    t.match(await attribution.ask(flowFrom(local, port)), [{ pid: child.pid }])
    t.same(await attribution.agent(flowFrom(1, 1)), {})
    t.same(await attribution.agent(flowFrom(2, 1)), {})
    t.same(attribution.state(), { asked: 4, unknown: 2 })
    await attribution.stop()
    t.match(spans, [{ count: 2 }])
    t.same(await attribution.ask(flowFrom(local, port)), [])
  },
)

t.test('a thread that dies is started anew, and one that hangs is replaced', async (t) => {
  const thread = (code: string) => new URL(`data:text/javascript,${encodeURIComponent(code)}`)
  const dying = startAttribution({
    ...{ log, unknown: () => {}, timeoutMs: 500 },
    module: thread(
      `import {parentPort as p} from 'node:worker_threads';p.on('message',()=>{throw new Error('no')})`,
    ),
  })
  t.same(await dying.ask(flowFrom(1, 1)), [], 'answered at once')
  await dying.stop()
  const hanging = startAttribution({
    ...{ log, unknown: () => {}, timeoutMs: 300 },
    module: thread(`import {parentPort as p} from 'node:worker_threads'
      p.on('message',()=>{Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0)})`),
  })
  t.same(await hanging.ask(flowFrom(1, 1)), [], 'answered, after its time')
  await hanging.stop()
})
