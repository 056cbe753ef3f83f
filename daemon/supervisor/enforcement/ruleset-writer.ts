/**
 * Makes our changes to the tables that nobody owns: in one long-lived session, so that they take a millisecond
 * and that the watch can tell them from everybody else's by their process.
 */
import type { FirewallError } from '../../../firewall/errors.ts'
import type { Nft } from '../../../firewall/nft.ts'
import type { NftSession } from '../../../firewall/nft-session.ts'
import type { RulesetWatch } from '../../../firewall/ruleset-watch.ts'

export interface RulesetWriter extends Nft {
  /** The process that it writes as, in the kernel's count; undefined while no watch knows it. */
  pid(): number | undefined
  /** From here on `watch` knows its transactions; resolves once the watch sees everything. @throws FirewallError */
  introduceTo(watch: RulesetWatch): Promise<void>
  close(): Promise<void>
}

export function rulesetWriter(nft: Nft, open: () => Promise<NftSession>): RulesetWriter {
  let session: Promise<NftSession> | undefined
  let watch: RulesetWatch | undefined
  let pid: number | undefined
  let introduced = false

  const opened = async (): Promise<NftSession> => {
    session ??= open().then((fresh) => {
      fresh.exited.then(() => {
        session = undefined
        introduced = false
      })
      return fresh
    })
    try {
      return await session
    } catch (error) {
      session = undefined
      throw error
    }
  }
  const acquainted = async (): Promise<NftSession> => {
    const mine = await opened()
    if (watch && !introduced) {
      introduced = true
      // A watch that has gone blind must not keep the rules from being written: the next one gets to know us.
      pid = await watch.introduce(mine.run).catch(() => undefined)
    }
    return mine
  }

  return {
    ...nft,
    async apply(script) {
      const mine = await acquainted()
      let gone = false
      mine.exited.then(() => {
        gone = true
      })
      try {
        await mine.run(script)
      } catch (error) {
        // Somebody ended it; whether it had done its work isn't known, and our scripts may be run twice.
        if (!gone && (error as FirewallError).code !== 'redirect-lost') throw error
        await mine.close()
        await (await acquainted()).run(script)
      }
    },
    pid: () => pid,
    async introduceTo(next) {
      watch = next
      introduced = true
      const mine = await opened()
      pid = await next.introduce(mine.run)
    },
    async close() {
      const last = await session?.catch(() => undefined)
      await last?.close()
    },
  }
}
