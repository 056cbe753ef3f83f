/**
 * Opening a group of the kernel's log, libpcap also makes nfnetlink_log the default logger of IPv4 (PF_BIND, which
 * kernels before 2.6 wanted): a setting of the machine's, by which connection tracking tells of invalid packets. The
 * group is read the same without it, so it is given back.
 */
import { readFileSync, writeFileSync } from 'node:fs'

/** Of IPv4, by its number (linux/netfilter.h): the name of a logger, or NONE. */
const SETTING = '/proc/sys/net/netfilter/nf_log/2'

/** Does the work and leaves the default logger as it was; where it can't be written, as the work left it. */
export function keepingDefaultLogger<T>(work: () => T): T {
  const before = read()
  try {
    return work()
  } finally {
    if (before !== undefined && read() !== before) {
      try {
        writeFileSync(SETTING, before)
      } catch {
        // Read-only, in a container say; nothing that is ours depends on it.
      }
    }
  }
}

function read(): string | undefined {
  try {
    return readFileSync(SETTING, 'utf8').trim()
  } catch {
    return undefined
  }
}
