/** `anchors.json` in memory: each lane has its part, writes go one after the other. */
import { rename } from 'node:fs/promises'
import type { Health } from '../base/health.ts'
import {
  type AnchorState,
  anchorsFile,
  type ChainAnchors,
  readAnchors,
  retired,
  writeAnchors,
} from './anchors.ts'
import { ChainError } from './chain-error.ts'
import type { LaneRecord } from './lane-context.ts'

type Place = Omit<ChainAnchors, 'contract' | 'anchors' | 'former'>

/** A damaged file is set aside, which `health` says. @throws DurableError */
export async function openAnchors(
  directory: string,
): Promise<{ health: Health | undefined; record: (of: Place) => LaneRecord }> {
  let state: AnchorState
  let health: Health | undefined
  try {
    state = readAnchors(directory)
  } catch (error) {
    if (!(error instanceof ChainError)) throw error
    const aside = `${anchorsFile(directory)}.damaged`
    await rename(anchorsFile(directory), aside)
    state = { v: 1, chains: [] }
    health = damagedHealth(aside)
  }
  let writing: Promise<void> = Promise.resolve()

  const record = (of: Place): LaneRecord => {
    state = { v: 1, chains: retired(state.chains, of) }
    const known = state.chains.find((c) => !c.former && c.name === of.name && c.chainId === of.chainId)
    const part: LaneRecord = {
      contract: known?.contract,
      anchors: known?.anchors ?? [],
      async save() {
        const { contract, anchors } = part
        const others = state.chains.filter((chain) => chain.former || chain.name !== of.name)
        state = {
          v: 1,
          chains: contract ? [...others, { ...of, contract, anchors: [...anchors] }] : others,
        }
        const next = writing.catch(() => undefined).then(() => writeAnchors(directory, state))
        writing = next
        return next
      },
      async moveTo(contract) {
        if (part.contract === contract) return
        state = { v: 1, chains: retired(state.chains, { ...of, contract }) }
        if (part.contract !== undefined) part.anchors = []
        part.contract = contract
        await part.save()
      },
    }
    return part
  }
  return { health, record }
}

export const damagedHealth = (file: string): Health => ({
  code: 'chain.state-damaged',
  severity: 'warning',
  title: `a state file of the chain-writer was damaged and set aside as ${file}`,
  remedy: 'Nothing is lost: the chain is asked. Check the disk, then remove the file.',
})
