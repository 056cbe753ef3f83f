import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { keepAlive, notify } from '../../daemon/supervisor/service-manager.ts'
import { AF_UNIX, libc, SOCK_CLOEXEC, SOCK_DGRAM } from '../../firewall/libc.ts'
import { scratch } from './scratch.ts'

const MSG_DONTWAIT = 0x40
const directory = scratch()

/** A socket as systemd holds it; `name` as it stands in sockaddr_un. Gives the next message, '' where there is none. */
function serviceManager(name: string): { next(): string; close(): void } {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  const address = Buffer.concat([Buffer.from(Uint16Array.of(AF_UNIX).buffer), Buffer.from(name)])
  t.equal(libc.bind(fd, address, address.length), 0)
  return {
    next() {
      const message = Buffer.alloc(256)
      return message.toString('utf8', 0, Math.max(0, libc.recv(fd, message, message.length, MSG_DONTWAIT)))
    },
    close: () => void libc.close(fd),
  }
}

t.afterEach(() => {
  delete process.env.NOTIFY_SOCKET
  delete process.env.WATCHDOG_USEC
})

t.test('tells the service manager at a path', async (t) => {
  const path = join(directory, 'notify')
  const manager = serviceManager(`${path}\0`)
  process.env.NOTIFY_SOCKET = path
  notify('READY=1')
  t.equal(manager.next(), 'READY=1')
  manager.close()
})

t.test('tells the service manager at an abstract name', async (t) => {
  const name = `agent-anchor-test-${process.pid}`
  const manager = serviceManager(`\0${name}`)
  process.env.NOTIFY_SOCKET = `@${name}`
  notify('STOPPING=1')
  t.equal(manager.next(), 'STOPPING=1')
  manager.close()
})

t.test('says that it lives several times in the time that the watchdog gives it', async (t) => {
  const path = join(directory, 'watchdog')
  const manager = serviceManager(`${path}\0`)
  process.env.NOTIFY_SOCKET = path
  process.env.WATCHDOG_USEC = '60000'
  const beating = keepAlive()
  await sleep(200)
  clearInterval(beating)
  t.equal(manager.next(), 'WATCHDOG=1')
  t.equal(manager.next(), 'WATCHDOG=1')
  manager.close()
})

t.test('says nothing where nobody asks, and does no harm where nobody listens', async (t) => {
  notify('READY=1')
  t.equal(keepAlive(), undefined)
  process.env.NOTIFY_SOCKET = join(directory, 'nobody')
  notify('READY=1')
})
