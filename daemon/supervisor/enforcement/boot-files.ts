/**
 * What the next boot needs before the network is there: the fence's scripts, and the addresses. Written behind the
 * rules, since what is enforced now doesn't wait for a disk.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { renderBootEgress, renderBootFence } from '../../../firewall/nftables.ts'
import { writeFileAtomic } from '../../base/durable/files.ts'
import { messageOf } from '../../base/errors.ts'
import type { AddressBook } from '../address-book.ts'
import { egressScriptBeside, formatFenceScript } from '../fence-script.ts'
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
    const wanted = options.wanted()
    await put(options.fenceScript, renderBootFence(wanted))
    const egress = renderBootEgress({ ...wanted, uplinks: lasting(wanted.uplinks) })
    await put(egressScriptBeside(options.fenceScript), egress)
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

async function put(file: string, rules: string): Promise<void> {
  const script = formatFenceScript(rules)
  const stored = await readFile(file, 'utf8').catch(() => '')
  if (stored !== script) await writeFileAtomic(file, Buffer.from(script), { mode: 0o600 })
}

/** Those with hardware behind them, which will be there again; all, where there is none such (in a container). */
function lasting(uplinks: readonly string[]): readonly string[] {
  const hardware = uplinks.filter((name) => existsSync(`/sys/class/net/${name}/device`))
  return hardware.length > 0 ? hardware : uplinks
}
