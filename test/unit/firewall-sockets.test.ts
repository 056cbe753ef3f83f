import { spawn } from 'node:child_process'
import { createSocket, type SocketType } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { flowOwner } from '../../firewall/flow-owner.ts'
import { closeListener, openListener } from '../../firewall/listening-socket.ts'
import { originalDestination, socketDescriptor } from '../../firewall/original-destination.ts'

/** A port that was free a moment ago, in both families. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '::')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The first line that somebody says on that port. */
async function greeting(port: number, host: string): Promise<string> {
  const socket = connect(port, host)
  try {
    return String(await once(socket, 'data')).trim()
  } finally {
    socket.destroy()
  }
}

/** A connection through a listener on loopback: both its ends. */
async function connection(host: string): Promise<{ client: Socket; accepted: Socket; close: () => void }> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, host)
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [Socket],
    unknown,
  ]
  return {
    client,
    accepted,
    close: () => {
      client.destroy()
      accepted.destroy()
      server.close()
    },
  }
}

const WORKER =
  "require('net').createServer((s) => s.end('from ' + process.pid + '\\n')).listen({ fd: 3 }, () => console.log('up'))"

t.test(
  'a listener is handed to one child after the other by stdio, and drops nobody in between',
  async (t) => {
    const port = await freePort()
    const fd = openListener({ address: '127.0.0.1', port })
    const start = async () => {
      const child = spawn(process.execPath, ['-e', WORKER], {
        env: {},
        stdio: ['ignore', 'pipe', 'inherit', fd],
      })
      await once(child.stdout!, 'data')
      return child
    }
    const first = await start()
    t.equal(await greeting(port, '127.0.0.1'), `from ${first.pid}`)
    first.kill('SIGKILL')
    await once(first, 'exit')
    const waiting = greeting(port, '127.0.0.1')
    const second = await start()
    t.equal(await waiting, `from ${second.pid}`, 'who dialled while nobody accepted is served by the next')
    second.kill('SIGKILL')
    closeListener(fd)
  },
)

t.test('no other child keeps the port', async (t) => {
  const port = await freePort()
  const fd = openListener({ address: '127.0.0.1', port })
  const bystander = spawn(process.execPath, ['-e', 'console.log(1);setTimeout(()=>{},9999)'], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(bystander.stdout, 'data')
  closeListener(fd)
  const again = openListener({ address: '127.0.0.1', port })
  closeListener(again)
  bystander.kill('SIGKILL')
  t.throws(() => closeListener(again), { code: 'system-call', message: /EBADF/ })
})

t.test('an IPv6 listener leaves the port to an IPv4 one beside it', async (t) => {
  const port = await freePort()
  const both = [openListener({ address: '::', port }), openListener({ address: '0.0.0.0', port })]
  for (const fd of both) closeListener(fd)
  t.equal(both.length, 2)
})

t.test('says that a port is taken, and leaves no descriptor behind', async (t) => {
  const port = await freePort()
  const fd = openListener({ address: '127.0.0.1', port })
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  t.throws(() => openListener({ address: '127.0.0.1', port }), { code: 'port-taken' })
  t.throws(() => openListener({ address: '203.0.113.77', port }), {
    code: 'system-call',
    message: /EADDRNOTAVAIL/,
  })
  t.equal(open(), before)
  closeListener(fd)
})

t.test('a connection that nobody redirected has no original destination', async (t) => {
  for (const [family, host] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const { accepted, close } = await connection(host)
    const fd = socketDescriptor(accepted)
    t.type(fd, 'number')
    t.equal(originalDestination(fd!, family), undefined)
    close()
    await once(accepted, 'close')
    t.equal(socketDescriptor(accepted), undefined, 'a closed socket has no descriptor')
  }
  t.throws(() => originalDestination(-1, 4), { code: 'system-call', message: /EBADF/ })
})

t.test('the kernel tells whose a connection is', async (t) => {
  for (const [family, host] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const { client, close, accepted } = await connection(host)
    const flow = {
      family,
      client: { address: host, port: client.localPort ?? 0 },
      destination: { address: host, port: client.remotePort ?? 0 },
    }
    const owner = flowOwner(flow)
    t.equal(owner?.uid, process.getuid?.())
    t.equal(readlinkSync(`/proc/self/fd/${socketDescriptor(client)}`), `socket:[${owner?.inode}]`)
    t.equal(flowOwner({ ...flow, destination: { address: host, port: 1 } }), undefined, 'no such connection')
    t.equal(
      flowOwner({ ...flow, client: flow.destination, destination: { address: host, port: 1 } }),
      undefined,
      'a listener is no owner',
    )
    t.equal(
      flowOwner({ ...flow, family: family === 4 ? 6 : 4 }),
      undefined,
      'no such connection in the other family',
    )
    t.equal(flowOwner({ ...flow, client: { address: 'nowhere', port: 1 } }), undefined, 'no address')
    close()
    await once(accepted, 'close')
    t.equal(flowOwner(flow), undefined, 'a client that is gone is unknown')
  }
})

async function datagramSocket(type: SocketType, address: string, options: object = {}) {
  const socket = createSocket({ type, ...options })
  socket.bind({ address, port: 0, ...options })
  await once(socket, 'listening')
  return socket
}

t.test('the kernel tells whose a datagram is, where only one socket can have sent it', async (t) => {
  const far = { address: '127.0.0.1', port: 9 }
  const flow = (port: number) => ({
    ...{ protocol: 'udp' as const, family: 4 as const },
    ...{ client: { address: '127.0.0.1', port }, destination: far },
  })
  const sockets = await Promise.all([
    datagramSocket('udp4', '127.0.0.1'),
    datagramSocket('udp4', '0.0.0.0'),
    datagramSocket('udp6', '::'),
  ])
  for (const socket of sockets) {
    const found = flowOwner(flow(socket.address().port))
    t.equal(found?.uid, process.getuid?.())
    const links = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return ''
      }
    })
    t.ok(links.includes(`socket:[${found?.inode}]`))
  }
  const only6 = await datagramSocket('udp6', '::', { ipv6Only: true })
  t.equal(flowOwner(flow(only6.address().port)), undefined, 'a socket of IPv6 alone sends no IPv4')
  const connected = await datagramSocket('udp4', '127.0.0.1')
  connected.connect(9, '127.0.0.2')
  await once(connected, 'connect')
  t.equal(flowOwner(flow(connected.address().port)), undefined, 'it sends elsewhere')
  const shared = await datagramSocket('udp4', '127.0.0.1', { reusePort: true })
  const { port } = shared.address()
  const twin = createSocket({ type: 'udp4', reusePort: true }).bind({ address: '127.0.0.1', port })
  await once(twin, 'listening')
  t.equal(flowOwner(flow(port)), undefined, 'two may have sent it: never a guess')
  for (const socket of [...sockets, only6, connected, shared, twin]) socket.close()
})
