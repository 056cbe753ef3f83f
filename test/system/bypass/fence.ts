/** The fence under other people's hands: their changes, and how soon it is again what it was. */
import type { Test } from 'tap'
import { asRoot, nft, until } from './lifecycle.ts'

/** The tables that nobody owns. */
export const FENCES = ['inet aa_fence', 'netdev aa_fence']
/** How soon a change of our tables must be undone. */
const RESTORED_MS = 1000
const PATIENCE_MS = 5000

export interface Fence {
  /** Takes what stands now for what must stand. */
  remember(): Promise<void>
  /** Makes a change as root, and waits until the fence is again what it was; its milliseconds are kept. */
  change(script: string): Promise<void>
  /** The same, with `work` begun right after the change. */
  changeDuring<T>(script: string, work: () => Promise<T>): Promise<T>
  /** Each restoration since {@link remember} was in time. */
  assertRestored(t: Test): void
}

export function watchedFence(): Fence {
  let untouched = ''
  let restorations: number[] = []
  const stands = async () => (await fenceLines()) === untouched
  const changeDuring: Fence['changeDuring'] = async (script, work) => {
    await mustChange(script)
    const standing = until(stands, PATIENCE_MS)
    const done = await work()
    restorations.push(await standing)
    return done
  }
  return {
    async remember() {
      untouched = await fenceLines()
      restorations = []
    },
    change: (script) => changeDuring(script, async () => {}),
    changeDuring,
    assertRestored(t) {
      for (const ms of restorations)
        t.ok(ms < RESTORED_MS, `the fence stood again after ${Math.round(ms)} ms`)
    },
  }
}

/** A change as root that must succeed. */
export async function mustChange(script: string): Promise<void> {
  const { code, stderr } = await nft(script)
  if (code !== 0) throw new Error(`${script}: ${stderr}`)
}

/** All that the fence's tables say but their counts, in an order of its own: what is made anew is listed in another. */
async function fenceLines(): Promise<string> {
  const listings = await Promise.all(
    FENCES.map((table) => asRoot(['nft', '--stateless', 'list', 'table', ...table.split(' ')])),
  )
  const parts = listings.flatMap(({ stdout }) => stdout.split(/[\n,{}]/))
  return parts
    .map((part) => part.trim())
    .sort()
    .join('\n')
}
