/**
 * Keeps what the kernel enforces equal to what the gateway knows: the fence (outlives us), the redirect (dies
 * with us) and the addresses in both.
 */
import { readFile } from 'node:fs/promises'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { applyFence, fencePresent } from '../../firewall/fence.ts'
import type { Nft } from '../../firewall/nft.ts'
import { renderFence } from '../../firewall/nftables.ts'
import { type Redirect, startRedirect } from '../../firewall/redirect-owner.ts'
import { writeFileAtomic } from '../base/durable.ts'
import { messageOf } from '../base/errors.ts'
import type { AddressBook } from './address-book.ts'
import { backOff } from './back-off.ts'
import { formatFenceScript } from './fence-script.ts'
import type { Log } from './log.ts'

export interface EnforcerState {
  readonly fence: boolean
  readonly redirect: boolean
  readonly addresses: number
}

/** How often the kernel is asked whether the fence still stands; watching for the change itself comes later. */
const LOOK_MS = 2000

export interface Enforcer {
  state(): EnforcerState
  raiseFence(): Promise<void>
  startRedirect(): Promise<void>
  /** Takes the book's present addresses into both tables; calls close together are done as one. */
  addressesChanged(): void
  /** Takes the redirect away and leaves the fence: LLM traffic is refused from here on. */
  stop(): Promise<void>
}

/** Names resolve in bursts: one update a burst. */
const SETTLE_MS = 100

export function enforcer(options: {
  readonly nft: Nft
  readonly base: Omit<Enforcement, 'addresses4' | 'addresses6'>
  readonly book: AddressBook
  readonly fenceScript: string
  readonly log: Log
  readonly changed: () => void
  readonly audit: (event: string, detail: Record<string, string | number | boolean>) => void
}): Enforcer {
  const { nft, book, log } = options
  const current = (): Enforcement => ({
    ...options.base,
    addresses4: book.addresses4,
    addresses6: book.addresses6,
  })
  let fence = false
  let redirect: Redirect | undefined
  let stopping = false
  let timer: NodeJS.Timeout | undefined
  // One change at a time: nft transactions of an older book must not overtake a newer one's.
  let queue: Promise<void> = Promise.resolve()
  const inTurn = (work: () => Promise<void>) => {
    const done = queue.then(work)
    queue = done.catch(() => {})
    return done
  }

  const raise = async () => {
    const wanted = current()
    await applyFence(nft, wanted)
    const script = formatFenceScript(renderFence(wanted))
    const stored = await readFile(options.fenceScript, 'utf8').catch(() => '')
    if (stored !== script) await writeFileAtomic(options.fenceScript, Buffer.from(script), { mode: 0o600 })
    fence = true
    options.changed()
  }

  const delays = backOff()
  const own = async () => {
    const born = Date.now()
    redirect = await startRedirect(current())
    options.changed()
    const mine = redirect
    mine.exited.then((code) => {
      if (stopping || redirect !== mine) return
      redirect = undefined
      options.changed()
      log.error(
        `the owner of the redirect table ended (${code}); LLM traffic is refused until it stands again`,
      )
      options.audit('redirect-lost', { code: code ?? -1 })
      retry(Date.now() - born)
    })
  }
  const retry = (livedMs: number) => {
    setTimeout(() => {
      if (stopping) return
      inTurn(own)
        .then(() => options.audit('redirect-restored', {}))
        .catch((error: unknown) => {
          log.error(`the redirect could not be restored: ${messageOf(error)}`)
          retry(0)
        })
    }, delays.next(livedMs))
  }

  const look = async () => {
    if (!fence || (await fencePresent(nft))) return
    fence = false
    options.changed()
    log.error('the fence was taken away; it is raised again')
    options.audit('fence-lost', {})
    await raise()
    options.audit('fence-restored', {})
  }
  const looking = setInterval(() => {
    inTurn(look).catch((error: unknown) =>
      log.error(`the fence could not be raised again: ${messageOf(error)}`),
    )
  }, LOOK_MS)
  // A start that fails must not be kept from ending.
  looking.unref()

  return {
    state: () => ({
      fence,
      redirect: redirect !== undefined,
      addresses: book.addresses4.length + book.addresses6.length,
    }),
    raiseFence: () => inTurn(raise),
    startRedirect: () => inTurn(own),
    addressesChanged() {
      if (timer || stopping) return
      timer = setTimeout(() => {
        timer = undefined
        inTurn(async () => {
          await raise()
          await redirect?.update(book.addresses4, book.addresses6)
          await book.save()
        }).catch((error: unknown) => log.error(`addresses could not be enforced: ${messageOf(error)}`))
      }, SETTLE_MS)
    },
    async stop() {
      stopping = true
      clearTimeout(timer)
      clearInterval(looking)
      await queue
      await redirect?.stop()
      redirect = undefined
      await book.save()
      options.changed()
    },
  }
}
