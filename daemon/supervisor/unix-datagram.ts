/** One message to a Unix datagram socket: how systemd and its journal are spoken to. Node has none of these. */
import { AF_UNIX, libc, SOCK_CLOEXEC, SOCK_DGRAM } from '../../firewall/libc.ts'

/** A receiver that is stuck must not stop this process. */
const MSG_DONTWAIT = 0x40

/**
 * Sends from this very process, so that the receiver's credentials name it.
 * @param path as it stands in NOTIFY_SOCKET: an abstract name begins with `@`
 * @returns false where nobody is there, or the message is too long or can't be taken now
 */
export function sendDatagram(path: string, message: Buffer): boolean {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) return false
  const address = unixAddress(path)
  const sent =
    libc.connect(fd, address, address.length) === 0 &&
    libc.send(fd, message, message.length, MSG_DONTWAIT) === message.length
  libc.close(fd)
  return sent
}

/** sockaddr_un(7): an abstract name, written with `@`, begins with a zero byte and has no end mark. */
function unixAddress(path: string): Buffer {
  const family = Buffer.from(Uint16Array.of(AF_UNIX).buffer)
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  return Buffer.concat([family, Buffer.from(name)])
}
