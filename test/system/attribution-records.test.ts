/**
 * The process behind an agent's call, in the record of the call: the whole gateway, real clients, real kernel. The
 * laboratory's providers answer at once; its clients stay a moment longer, as they do where answers take their time.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ANTHROPIC, OPENAI } from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'

t.setTimeout(180_000)
await enterLab(import.meta.url)
const BRIDGE = 'br-agents'
const { lab, gateway } = await labWithGateway(t, { settings: `bridges: [${BRIDGE}]\n` })

interface Listed {
  readonly id: string
  readonly uid: number | null
  readonly record: {
    readonly agent?: Record<string, unknown> & { readonly processes?: object[] }
    readonly client?: { readonly port: number }
  }
}

/** The newest records of a kind once there are so many. */
async function listed(kind: string, count: number): Promise<Listed[]> {
  const end = Date.now() + 10_000
  for (;;) {
    const { records } = (await gateway.json('records', '--kind', kind)) as unknown as { records: Listed[] }
    if (records.length >= count || Date.now() > end) return records
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const sha256 = createHash('sha256').update(readFileSync('/usr/bin/curl')).digest('hex')
/** Twice the same, half a second apart, on one connection. */
const curl = (key: string, ...options: string[]) => {
  const call = chatCall(key, 'whose call is this?')
  return curlCommand(call, ['--rate', '2/s', '--url', call.url, ...options])
}

t.test("a call's record names the program, and so do the listing and `show`", async (t) => {
  for (const family of ['-4', '-6']) {
    const { code, stdout } = await lab.run('agent1', curl('sk-a', family))
    t.equal(code, 0)
    t.match(stdout, /200 OK/)
  }
  const rows = await listed('exchange', 4)
  t.equal(rows.length, 4)
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
  const script = `import ctypes, time, urllib.error, urllib.request
ctypes.CDLL(None).prctl(15, ${JSON.stringify(name)}.encode(), 0, 0, 0)
request = urllib.request.Request('https://${OPENAI.name}/v1/models', headers={'Authorization': 'Bearer sk-b'})
try:
  answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
  answer = error
print(answer.status, flush=True)
time.sleep(0.5)`
  const { stdout, stderr } = await lab.run('agent2', ['/usr/bin/python3', '-c', script])
  t.match(stdout, /^\d{3}$/m, stderr)
  const [row] = await listed('exchange', 5)
  t.match(row?.record.agent, { uid: 4002, processes: [{ name, executable: /python3/ }] })
  for (const argv of [['records'], ['show', row?.id as string], ['records', '--json']]) {
    const { stdout } = await gateway.cli(...argv)
    t.notOk(/[\u001b\u009b\u202e]/.test(stdout), argv.join(' '))
  }
})

t.test('a refused connection is told with its program too', async (t) => {
  const script = `import socket, time
s = socket.create_connection(('${OPENAI.address4}', 443))
s.send(b'not TLS at all\\r\\n\\r\\n')
try: print(s.recv(9))
except OSError as error: print(error)
time.sleep(0.5)`
  t.match((await lab.run('agent1', ['/usr/bin/python3', '-c', script])).stdout, /reset/)
  const rows = await listed('refusal', 1)
  t.match(rows[0]?.record.agent, { uid: 4001, processes: [{ name: 'python3', executable: /python3/ }] })
})

t.test("a bridged container's call is told by its socket in there", async (t) => {
  const container = await startContainer({ kind: 'bridge', bridge: BRIDGE })
  const address = `${OPENAI.name}:443:${OPENAI.address4}`
  const { code, stderr } = await container.run(curl('sk-c', '-4', '-k', '--resolve', address))
  t.equal(code, 0, stderr)
  const [row] = await listed('exchange', 7)
  t.match(row?.record, { client: { address: container.address4 } })
  t.match(row?.record.agent, { uid: 0, inode: Number, processes: [{ name: 'curl', sha256 }] })
  await container.stop()
})

t.test('nothing of the gateway itself is told twice after its recorder was killed', async (t) => {
  const children = (await gateway.state())?.children ?? []
  process.kill(children.find(({ name }) => name === 'recorder')?.pid as number, 'SIGKILL')
  const end = Date.now() + 15_000
  const events = async () => {
    const rows = (await listed('audit', 1)) as unknown as { id: string; record: { event: string } }[]
    return rows.map(({ record }) => record.event)
  }
  while (!(await events().catch((): string[] => [])).includes('child-died') && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const told = await events()
  t.equal(told.filter((event) => event === 'start').length, 1)
  t.equal(told.filter((event) => event === 'child-died').length, 1)
  const gaps = (await listed('gap', 1)) as unknown as { record: { cause: string } }[]
  t.match(gaps.map(({ record }) => record.cause).join(), /did not stop cleanly/)
})

/** Both from one port, to different servers: to the proxy they would be one connection, so one is translated. */
const TWICE = `
import socket, sys, time
port, sites = int(sys.argv[1]), [site.split() for site in sys.argv[2:]]
opened = []
for address, name in sites:
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", port))
    one.connect((address, 80))
    opened.append(one)
for one, (address, name) in zip(opened, sites):
    one.sendall(f"GET /v1/models?twice HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
print([one.recv(12).decode() for one in opened])
time.sleep(1)
`

for (const family of [4, 6] as const) {
  t.test(`a client whose port is another at the proxy is known all the same, IPv${family}`, async (t) => {
    const before = (await listed('exchange', 0)).length
    const port = 40_000 + family
    const sites = [OPENAI, ANTHROPIC].map((site) => `${site[`address${family}`]} ${site.name}`)
    const { stdout, stderr } = await lab.run('agent2', ['/usr/bin/python3', '-c', TWICE, `${port}`, ...sites])
    t.match(stdout, /HTTP.*HTTP/, stderr)
    const rows = (await listed('exchange', before + 2)).slice(0, 2)
    const records = rows.map(({ record }) => record)
    t.ok(
      records.some(({ client }) => client?.port !== port),
      'the kernel has translated one',
    )
    for (const { agent } of records) {
      t.match(agent, { uid: 4002, gid: 4002, inode: Number, processes: [{ name: 'python3' }] })
    }
  })
}
