/**
 * What the next boot needs before the network is there: the fence's script, and the addresses. Written behind the
 * rules, since what is enforced now doesn't wait for a disk.
 */
import { readFile } from 'node:fs/promises'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { renderBootFence } from '../../../firewall/nftables.ts'
import { writeFileAtomic } from '../../base/durable.ts'
import { messageOf } from '../../base/errors.ts'
import type { AddressBook } from '../address-book.ts'
import { formatFenceScript } from '../fence-script.ts'
import type { Log } from '../log.ts'

export interface BootFiles {
  /** Writes what isn't written yet; one write at a time. */
  write(): Promise<void>
  /** Writes within {@link BEHIND_MS}; calls meanwhile are done as one. */
  writeSoon(): void
}

/** Names resolve in bursts: one write a burst. */
const BEHIND_MS = 1000

export function bootFiles(options: {
  readonly fenceScript: string
  readonly book: AddressBook
  readonly wanted: () => Enforcement
  readonly log: Log
}): BootFiles {
  let timer: NodeJS.Timeout | undefined
  let tail: Promise<void> = Promise.resolve()
  const writeNow = async () => {
    const script = formatFenceScript(renderBootFence(options.wanted()))
    const stored = await readFile(options.fenceScript, 'utf8').catch(() => '')
    if (stored !== script) await writeFileAtomic(options.fenceScript, Buffer.from(script), { mode: 0o600 })
    await options.book.save()
  }
  const write = () => {
    clearTimeout(timer)
    timer = undefined
    const done = tail.then(writeNow)
    tail = done.catch(() => {})
    return done
  }
  return {
    write,
    writeSoon() {
      timer ??= setTimeout(() => {
        write().catch((error: unknown) =>
          options.log.error(`what the next boot needs could not be written: ${messageOf(error)}`),
        )
      }, BEHIND_MS).unref()
    },
  }
}
