/** Watches the file system of the records: what is left there, for how long, and whether anything new may begin. */
import { messageOf } from '../../base/errors.ts'
import type { Health } from '../../base/health.ts'
import type { FailedPayload } from '../protocol.ts'
import { DiskTrend } from './disk-trend.ts'
import { readSpace, reserveOf, type Space, shortOf, spaceHealth, spaceState } from './free-space.ts'

export interface DiskState extends Space {
  /** Free bytes at which nothing new is begun. */
  readonly reserve: number
  /** When that will be, as things go; RFC 3339. */
  readonly fullAt?: string
}

export class DiskWatch {
  readonly #dir: string
  readonly #reserve: number | undefined
  readonly #trend = new DiskTrend()
  health: readonly Health[] = []
  state: DiskState | undefined

  /** @param reserve set by the administrator; absent: by the size of the disk */
  constructor(dir: string, reserve: number | undefined) {
    this.#dir = dir
    this.#reserve = reserve
  }

  /** Before the disk is full: what has begun must still find room. @param refuse is told why nothing may begin */
  look(refuse: (why: FailedPayload | undefined) => void, log: (line: string) => void): void {
    try {
      const space = readSpace(this.#dir)
      const reserve = reserveOf(space, this.#reserve)
      const full = this.#trend.look(space, reserve)
      this.state = { ...space, reserve, ...(full && { fullAt: new Date(full).toISOString() }) }
      this.health = spaceHealth(space, this.#reserve)
      refuse(spaceState(space, this.#reserve) === 'short' ? shortOf(space, this.#reserve) : undefined)
    } catch (error) {
      log(`free space: ${messageOf(error)}`)
    }
  }
}
